//! What is wrong with a request before anything is looked up: missing keys, contradictions, too many operations, a key that is written
//! twice. Pure. Source: `server/etcdserver/api/v3rpc/key.go` of etcd 3.7, as observed.

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

fn shape(request: &TxnRequest, max_ops: usize) -> Result<(), Refusal> {
    let n_ops = [request.compare.len(), request.success.len(), request.failure.len()];
    if n_ops.iter().any(|n| *n > max_ops) {
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
            Some(Request::RequestTxn(inner)) => shape(inner, max_ops)?,
            None => return Err(Refusal::KeyNotFound),
        }
    }
    Ok(())
}

/// Keys that one branch puts, and ranges that it deletes.
type Written = (Vec<Bytes>, Vec<KeyRange>);

/// No key is put twice, or put and deleted, on any way through the transaction.
fn written(ops: &[RequestOp]) -> Result<Written, Refusal> {
    let (mut puts, mut deletes): Written = (Vec::new(), Vec::new());
    for op in ops {
        match &op.request {
            Some(Request::RequestDeleteRange(request)) => {
                let (key, end) = (request.key.clone(), request.range_end.clone());
                deletes.push(KeyRange::of_request(key, end));
            }
            Some(Request::RequestPut(request)) => puts.push(request.key.clone()),
            Some(Request::RequestTxn(inner)) => {
                let (then, otherwise) = (written(&inner.success)?, written(&inner.failure)?);
                // Only one of both is taken, so that they may write the same key.
                for (inner_puts, inner_deletes) in [&then, &otherwise] {
                    apart((&puts, &deletes), (inner_puts, inner_deletes))?;
                }
                for (inner_puts, inner_deletes) in [then, otherwise] {
                    let new = inner_puts.into_iter().filter(|key| !puts.contains(key));
                    let new: Vec<Bytes> = new.collect();
                    puts.extend(new);
                    deletes.extend(inner_deletes);
                }
            }
            Some(Request::RequestRange(_)) | None => {}
        }
    }
    distinct(&puts)?;
    let both = |key: &Bytes| deletes.iter().any(|range| range.contains(key));
    if puts.iter().any(both) { Err(Refusal::DuplicateKey) } else { Ok((puts, deletes)) }
}

fn distinct(puts: &[Bytes]) -> Result<(), Refusal> {
    let mut sorted: Vec<&Bytes> = puts.iter().collect();
    sorted.sort_unstable();
    let is_twice = sorted.windows(2).any(|pair| matches!(pair, [one, other] if one == other));
    if is_twice { Err(Refusal::DuplicateKey) } else { Ok(()) }
}

fn apart(
    (puts, deletes): (&[Bytes], &[KeyRange]),
    (inner_puts, inner_deletes): (&[Bytes], &[KeyRange]),
) -> Result<(), Refusal> {
    let twice = inner_puts
        .iter()
        .any(|key| puts.contains(key) || deletes.iter().any(|range| range.contains(key)));
    let deleted = puts.iter().any(|key| inner_deletes.iter().any(|range| range.contains(key)));
    if twice || deleted { Err(Refusal::DuplicateKey) } else { Ok(()) }
}

/// What only the state can say of a put: a key whose value or lease is kept must exist, and a lease must.
pub fn against_state(state: &State, request: &PutRequest) -> Result<(), Refusal> {
    let keeps = request.ignore_value || request.ignore_lease;
    if keeps && state.view().get(&request.key).is_none() {
        return Err(Refusal::KeyNotFound);
    }
    let has_lease = request.lease != 0;
    if has_lease && !state.leases.exists(request.lease) {
        return Err(Refusal::LeaseNotFound);
    }
    Ok(())
}
