//! What is wrong with a request before anything is looked up: missing keys, contradictions, too many operations, a key that is written
//! twice. Pure. Source: `server/etcdserver/api/v3rpc/key.go` of etcd 3.7, as observed.

use std::collections::BTreeSet;

use bytes::Bytes;
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};

use crate::index::KeyRange;
use crate::range;
use crate::refusal::Refusal;
use crate::state::State;

/// etcd's `--max-txn-ops`.
pub const MAX_TXN_OPS: usize = 128;

pub fn put(request: &PutRequest) -> Result<(), Refusal> {
    match request {
        _ if request.key.is_empty() => Err(Refusal::EmptyKey),
        _ if request.ignore_value && !request.value.is_empty() => Err(Refusal::ValueProvided),
        _ if request.ignore_lease && request.lease != 0 => Err(Refusal::LeaseProvided),
        _ => Ok(()),
    }
}

pub fn delete(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

pub fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), Refusal> {
    shape(request, max_ops)?;
    written(&request.success)?;
    written(&request.failure)?;
    Ok(())
}

/// Of the operations that there may be, a transaction inside has what the longest list of the outer one has left.
fn shape(request: &TxnRequest, max_ops: usize) -> Result<(), Refusal> {
    let longest = request.compare.len().max(request.success.len()).max(request.failure.len());
    if longest > max_ops {
        return Err(Refusal::TooManyOps);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(request)) => range::check(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete(request)?,
            Some(Request::RequestTxn(inner)) => shape(inner, max_ops - longest)?,
            None => return Err(Refusal::KeyNotFound),
        }
    }
    Ok(())
}

/// Keys that one branch puts, and ranges that it deletes, with those of the transactions inside.
#[derive(Default)]
struct Written {
    puts: BTreeSet<Bytes>,
    deletes: Vec<KeyRange>,
}

/// No key is put twice, or put and deleted, on any way through the transaction. etcd overlooks two such ways, which are refused here: a
/// deletion of all keys from one on, and one in a transaction that is behind the one that puts.
fn written(ops: &[RequestOp]) -> Result<Written, Refusal> {
    let mut written = Written::default();
    let requests = || ops.iter().filter_map(|op| op.request.as_ref());
    for request in requests() {
        if let Request::RequestDeleteRange(request) = request {
            let (key, end) = (request.key.clone(), request.range_end.clone());
            written.deletes.push(KeyRange::of_request(key, end));
        }
    }
    for request in requests() {
        if let Request::RequestTxn(inner) = request {
            // Only one of both is taken, so that they may write the same key.
            let (then, otherwise) =
                (self::written(&inner.success)?, self::written(&inner.failure)?);
            written.is_apart_from(&then)?;
            written.is_apart_from(&otherwise)?;
            for inner in [then, otherwise] {
                written.puts.extend(inner.puts);
                written.deletes.extend(inner.deletes);
            }
        }
    }
    for request in requests() {
        if let Request::RequestPut(request) = request
            && (written.deletes(&request.key) || !written.puts.insert(request.key.clone()))
        {
            return Err(Refusal::DuplicateKey);
        }
    }
    Ok(written)
}

impl Written {
    fn deletes(&self, key: &Bytes) -> bool {
        self.deletes.iter().any(|range| range.contains(key))
    }

    fn is_apart_from(&self, inner: &Written) -> Result<(), Refusal> {
        let is_twice = |key: &Bytes| self.puts.contains(key) || self.deletes(key);
        let is_deleted = |key: &Bytes| inner.deletes(key);
        match inner.puts.iter().any(is_twice) || self.puts.iter().any(is_deleted) {
            true => Err(Refusal::DuplicateKey),
            false => Ok(()),
        }
    }
}

/// What only the state can say of a put: a key whose value or lease is kept must exist, and a lease must.
pub fn against_state(state: &State, request: &PutRequest) -> Result<(), Refusal> {
    let has_lease = request.lease != 0;
    if has_lease && !state.leases.exists(request.lease) {
        return Err(Refusal::LeaseNotFound);
    }
    let keeps = request.ignore_value || request.ignore_lease;
    if keeps && state.view().get(&request.key).is_none() {
        return Err(Refusal::KeyNotFound);
    }
    Ok(())
}
