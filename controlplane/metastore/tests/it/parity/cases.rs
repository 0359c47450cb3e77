//! Named cases: what random sequences found once, what they cannot have because it takes time or room, and where this store is meant to
//! answer otherwise.

mod found;
mod meant;
mod slow;

use bytes::Bytes;
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
};

use super::op::Op;

fn bytes(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

fn range(key: &str, end: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), range_end: bytes(end), ..RangeRequest::default() }
}

fn delete(key: &str, end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(end), prev_kv: true }
}

fn watch(key: &str, end: &str, start_revision: i64) -> WatchCreateRequest {
    let (key, range_end) = (bytes(key), bytes(end));
    WatchCreateRequest { key, range_end, start_revision, ..WatchCreateRequest::default() }
}

fn to_put(key: &str) -> RequestOp {
    RequestOp { request: Some(Request::RequestPut(put(key, "v"))) }
}

fn to_delete(key: &str, end: &str) -> RequestOp {
    RequestOp { request: Some(Request::RequestDeleteRange(delete(key, end))) }
}

fn to_get(request: RangeRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestRange(request)) }
}

fn inside(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    let txn = TxnRequest { compare: Vec::new(), success, failure };
    RequestOp { request: Some(Request::RequestTxn(txn)) }
}

fn txn(success: Vec<RequestOp>) -> Op {
    Op::Txn(TxnRequest { success, ..TxnRequest::default() })
}
