//! The transactions of a kube-apiserver: create, update and delete of one key, each on the condition of its mod revision.

use bytes::Bytes;
use proto::etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::response_op::Response;
use proto::etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
};

/// If there is no such key.
pub(crate) fn create(key: &Bytes, value: Bytes) -> TxnRequest {
    let (compare, success) = (vec![is_at(key, 0)], vec![put(key, value)]);
    TxnRequest { compare, success, failure: Vec::new() }
}

/// If the key is still at `revision`; otherwise says what is there.
pub(crate) fn update(key: &Bytes, value: Bytes, revision: i64) -> TxnRequest {
    let (compare, success) = (vec![is_at(key, revision)], vec![put(key, value)]);
    TxnRequest { compare, success, failure: vec![get(key)] }
}

pub(crate) fn delete(key: &Bytes, revision: i64) -> TxnRequest {
    let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
    let success = vec![op(Request::RequestDeleteRange(delete))];
    TxnRequest { compare: vec![is_at(key, revision)], success, failure: vec![get(key)] }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// At which revision.
    Done(i64),
    /// Where the key is instead, as far as the server says so; 0 is "there is none".
    Lost(Option<i64>),
}

pub(crate) fn answer(response: &TxnResponse) -> Answer {
    if response.succeeded {
        return Answer::Done(response.header.as_ref().map_or(0, |header| header.revision));
    }
    let found = response.responses.first().and_then(|op| op.response.as_ref());
    Answer::Lost(match found {
        Some(Response::ResponseRange(range)) => {
            Some(range.kvs.first().map_or(0, |kv| kv.mod_revision))
        }
        _ => None,
    })
}

fn is_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.clone(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Compare::default()
    }
}

fn put(key: &Bytes, value: Bytes) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: key.clone(), value, ..PutRequest::default() }))
}

fn get(key: &Bytes) -> RequestOp {
    op(Request::RequestRange(RangeRequest { key: key.clone(), ..RangeRequest::default() }))
}

const fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}
