//! Transactions in the shapes of an apiserver, and some that it does not have.

use bytes::Bytes;
use proto::etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

use crate::mvcc::Revision;
use crate::testkit::chronicle::Change;

/// If the key is as it was written at `revision` (0: not there), do so; else say what it is.
pub(super) fn guarded(key: &Bytes, revision: Revision, change: &Change) -> TxnRequest {
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.clone(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Compare::default()
    };
    let get = RangeRequest { key: key.clone(), ..RangeRequest::default() };
    TxnRequest {
        compare: vec![compare],
        success: vec![op(change)],
        failure: vec![RequestOp { request: Some(Request::RequestRange(get)) }],
    }
}

pub(super) fn all(changes: &[Change]) -> TxnRequest {
    TxnRequest { success: changes.iter().map(op).collect(), ..TxnRequest::default() }
}

pub(super) fn put(key: &str, value: &str) -> TxnRequest {
    all(&[changed(key, value)])
}

pub(super) fn changed(key: &str, value: &str) -> Change {
    let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(value.to_owned()));
    Change { key, value: Some(value), lease: 0 }
}

fn op(change: &Change) -> RequestOp {
    let Change { key, value, lease } = change.clone();
    let request = match value {
        Some(value) => Request::RequestPut(PutRequest { key, value, lease, ..Default::default() }),
        None => Request::RequestDeleteRange(DeleteRangeRequest { key, ..Default::default() }),
    };
    RequestOp { request: Some(request) }
}
