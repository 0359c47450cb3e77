//! Revisions in requests that are made before a store has any: a number far away from all real ones says how far from the newest or the
//! compacted revision it is meant to be. Owns the code of such numbers, and where requests have them.

use proto::etcd::etcdserverpb::compare::TargetUnion;
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{RangeRequest, TxnRequest};

const NEWEST: i64 = 1 << 50;
const COMPACTED: i64 = 1 << 51;
/// Offsets are smaller.
const REACH: u64 = 1 << 20;

pub(super) fn newest(offset: i64) -> i64 {
    NEWEST + offset
}

pub(super) fn compacted(offset: i64) -> i64 {
    COMPACTED + offset
}

/// What a client knows of a store.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) newest: i64,
    pub(super) compacted: i64,
}

impl Known {
    pub(super) fn absolute(&self, revision: i64) -> i64 {
        match revision {
            _ if revision.abs_diff(NEWEST) < REACH => self.newest + revision - NEWEST,
            _ if revision.abs_diff(COMPACTED) < REACH => self.compacted + revision - COMPACTED,
            _ => revision,
        }
    }

    pub(super) fn range(&self, request: &RangeRequest) -> RangeRequest {
        RangeRequest {
            revision: self.absolute(request.revision),
            min_mod_revision: self.absolute(request.min_mod_revision),
            max_mod_revision: self.absolute(request.max_mod_revision),
            min_create_revision: self.absolute(request.min_create_revision),
            max_create_revision: self.absolute(request.max_create_revision),
            ..request.clone()
        }
    }

    pub(super) fn txn(&self, request: &TxnRequest) -> TxnRequest {
        let mut request = request.clone();
        for compare in &mut request.compare {
            if let Some(TargetUnion::ModRevision(at) | TargetUnion::CreateRevision(at)) =
                &mut compare.target_union
            {
                *at = self.absolute(*at);
            }
        }
        for op in request.success.iter_mut().chain(&mut request.failure) {
            match &mut op.request {
                Some(Request::RequestRange(range)) => *range = self.range(range),
                Some(Request::RequestTxn(inner)) => *inner = self.txn(inner),
                _ => {}
            }
        }
        request
    }
}
