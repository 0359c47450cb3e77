//! One step of a sequence.

use proto::etcd::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest,
    LeaseTimeToLiveRequest, PutRequest, RangeRequest, TxnRequest, WatchCreateRequest,
};

use super::relative::Known;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Put(PutRequest),
    Range(RangeRequest),
    /// The same as a stream of parts.
    RangeStream(RangeRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
    Grant(LeaseGrantRequest),
    Revoke(i64),
    KeepAlive(i64),
    TimeToLive(LeaseTimeToLiveRequest),
    Leases,
    Alarms,
    HashKv(HashKvRequest),
    /// On one of a few streams.
    Watch(usize, WatchCreateRequest),
    Cancel(usize, i64),
    Progress(usize),
}

impl Op {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Op::Put(_) => "Put",
            Op::Range(_) => "Range",
            Op::RangeStream(_) => "RangeStream",
            Op::Delete(_) => "DeleteRange",
            Op::Txn(_) => "Txn",
            Op::Compact(_) => "Compact",
            Op::Grant(_) => "LeaseGrant",
            Op::Revoke(_) => "LeaseRevoke",
            Op::KeepAlive(_) => "LeaseKeepAlive",
            Op::TimeToLive(_) => "LeaseTimeToLive",
            Op::Leases => "LeaseLeases",
            Op::Alarms => "Alarm",
            Op::HashKv(_) => "HashKV",
            Op::Watch(..) => "Watch create",
            Op::Cancel(..) => "Watch cancel",
            Op::Progress(_) => "Watch progress",
        }
    }

    /// With the revisions of a store.
    pub(super) fn at(&self, known: &Known) -> Op {
        match self {
            Op::Range(request) => Op::Range(known.range(request)),
            Op::RangeStream(request) => Op::RangeStream(known.range(request)),
            Op::Txn(request) => Op::Txn(known.txn(request)),
            Op::Compact(CompactionRequest { revision, physical }) => {
                let revision = known.absolute(*revision);
                Op::Compact(CompactionRequest { revision, physical: *physical })
            }
            Op::HashKv(HashKvRequest { revision }) => {
                // etcd has hashes from its compactions, with what was compacted before each, and hashes nothing at revisions below zero.
                let revision = known.absolute(*revision);
                let revision = if revision > known.compacted { revision } else { 0 };
                Op::HashKv(HashKvRequest { revision })
            }
            Op::Watch(stream, request) => {
                let start_revision = known.absolute(request.start_revision);
                Op::Watch(*stream, WatchCreateRequest { start_revision, ..request.clone() })
            }
            as_it_is => as_it_is.clone(),
        }
    }
}
