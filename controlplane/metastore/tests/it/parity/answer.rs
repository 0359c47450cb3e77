//! What a call is answered with, without what two stores never have in common.

use proto::etcd::etcdserverpb::{
    AlarmResponse, CompactionResponse, DeleteRangeResponse, HashKvResponse, LeaseGrantResponse,
    LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeResponse, LeaseTimeToLiveResponse,
    PutResponse, RangeResponse, ResponseHeader, TxnResponse,
};
use tonic::{Code, Response, Status};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Put(PutResponse),
    Range(RangeResponse),
    Delete(DeleteRangeResponse),
    Txn(TxnResponse),
    Compact(CompactionResponse),
    Grant(LeaseGrantResponse),
    Revoke(LeaseRevokeResponse),
    KeepAlive(LeaseKeepAliveResponse),
    TimeToLive(LeaseTimeToLiveResponse),
    Leases(LeaseLeasesResponse),
    Alarms(AlarmResponse),
    HashKv(HashKvResponse),
    Refused { code: Code, message: String },
}

impl Answer {
    pub(super) fn of<T>(told: Result<Response<T>, Status>, kind: fn(T) -> Answer) -> Answer {
        match told {
            Ok(response) => kind(response.into_inner()).comparable(),
            Err(status) => Answer::refused(&status),
        }
    }

    pub(super) fn refused(status: &Status) -> Answer {
        Answer::Refused { code: status.code(), message: status.message().to_owned() }
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Answer::Refused { .. })
    }

    /// Of the store, when it answered.
    pub(super) fn revision(&self) -> Option<i64> {
        self.clone().header().map(|header| header.revision)
    }

    pub(super) fn comparable(mut self) -> Answer {
        if let Some(header) = self.header() {
            let ResponseHeader { cluster_id, member_id, raft_term, .. } = header;
            (*cluster_id, *member_id, *raft_term) = (0, 0, 0);
        }
        match &mut self {
            Answer::HashKv(hash) => hash.hash = 0,
            // -1 is no time, but a sign.
            Answer::TimeToLive(lease) => {
                lease.ttl = lease.ttl.min(0);
                lease.keys.sort();
            }
            _ => {}
        }
        self
    }

    /// etcd 3.7 leaves the leases out where only keys are asked for; 3.6 did not, and this store does not.
    pub(super) fn without_leases(mut self) -> Answer {
        if let Answer::Range(range) = &mut self {
            range.kvs.iter_mut().for_each(|kv| kv.lease = 0);
        }
        self
    }

    fn header(&mut self) -> Option<&mut ResponseHeader> {
        let header = match self {
            Answer::Put(response) => &mut response.header,
            Answer::Range(response) => &mut response.header,
            Answer::Delete(response) => &mut response.header,
            Answer::Txn(response) => &mut response.header,
            Answer::Compact(response) => &mut response.header,
            Answer::Grant(response) => &mut response.header,
            Answer::Revoke(response) => &mut response.header,
            Answer::KeepAlive(response) => &mut response.header,
            Answer::TimeToLive(response) => &mut response.header,
            Answer::Leases(response) => &mut response.header,
            Answer::Alarms(response) => &mut response.header,
            Answer::HashKv(response) => &mut response.header,
            Answer::Refused { .. } => return None,
        };
        header.as_mut()
    }
}
