//! A transaction of any shape: what is wrong with it by itself, what its comparisons say of the newest state, and what it does. Pure; the
//! state that it changes is handed in, values are read by whoever has them. Source: `server/etcdserver/txn` of etcd 3.7, as observed.

pub mod check;
pub mod taken;

use bytes::Bytes;
use proto::etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::response_op::Response;
use proto::etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use proto::etcd::mvccpb::KeyValue;

use crate::index::KeyRange;
use crate::mvcc::{Revision, Version, View};
use crate::range::{self, Values};
use crate::refusal::Refusal;
use crate::state::{State, Writing};

#[derive(Debug)]
pub enum TxnError<E> {
    /// Nothing was changed.
    Refused(Refusal),
    /// A value could not be read; what was to be written is written.
    Value(E),
}

impl<E> From<Refusal> for TxnError<E> {
    fn from(refusal: Refusal) -> TxnError<E> {
        TxnError::Refused(refusal)
    }
}

/// Which branch is taken, here and in every transaction inside, in the order in which they are met. Decided before anything is written,
/// as etcd does: a transaction inside does not see what the outer one writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<bool>);

/// Decides by the state before the transaction, and refuses what cannot be done from there.
pub fn decide<V: Values>(
    state: &State,
    request: &TxnRequest,
    values: &V,
) -> Result<Path, TxnError<V::Error>> {
    let mut path = Path::default();
    choose(state, request, values, &mut path)?;
    Ok(path)
}

fn choose<V: Values>(
    state: &State,
    request: &TxnRequest,
    values: &V,
    path: &mut Path,
) -> Result<(), TxnError<V::Error>> {
    let mut holds = true;
    for compare in &request.compare {
        if !is_true(state, compare, values).map_err(TxnError::Value)? {
            holds = false;
            break;
        }
    }
    path.0.push(holds);
    for op in branch(request, holds) {
        match &op.request {
            Some(Request::RequestTxn(inner)) => choose(state, inner, values, path)?,
            Some(Request::RequestPut(put)) => check::against_state(state, put)?,
            Some(Request::RequestRange(request)) => {
                range::revision_in_txn(request, state.revision, state.compacted)?;
            }
            Some(Request::RequestDeleteRange(_)) | None => {}
        }
    }
    Ok(())
}

fn branch(request: &TxnRequest, holds: bool) -> &[RequestOp] {
    if holds { &request.success } else { &request.failure }
}

/// True for all keys of a range; an empty range compares as a key that does not exist, but never by value.
fn is_true<V: Values>(state: &State, compare: &Compare, values: &V) -> Result<bool, V::Error> {
    let range = KeyRange::of_request(compare.key.clone(), compare.range_end.clone());
    let mut is_empty = true;
    for (key, version) in state.view().range(&range) {
        is_empty = false;
        let value = match compare.target() {
            CompareTarget::Value => Some(values.value(&key, version)?),
            _ => None,
        };
        if !holds(compare, version, value.as_ref()) {
            return Ok(false);
        }
    }
    if !is_empty {
        return Ok(true);
    }
    if compare.target() == CompareTarget::Value {
        return Ok(false);
    }
    let absent = Version::deleted(0);
    Ok(holds(compare, &absent, None))
}

/// A comparison without a value is one with zero or nothing, as in etcd. What is unknown there is equal, and an unknown result holds.
fn holds(compare: &Compare, version: &Version, value: Option<&Bytes>) -> bool {
    let union = compare.target_union.as_ref();
    let wanted = |number: Option<i64>| number.unwrap_or_default();
    let Ok(result) = CompareResult::try_from(compare.result) else { return true };
    let Ok(target) = CompareTarget::try_from(compare.target) else {
        return matches!(result, CompareResult::Equal);
    };
    let order = match target {
        CompareTarget::Version => version.number.cmp(&wanted(match union {
            Some(TargetUnion::Version(number)) => Some(*number),
            _ => None,
        })),
        CompareTarget::Create => version.create_revision.cmp(&wanted(match union {
            Some(TargetUnion::CreateRevision(number)) => Some(*number),
            _ => None,
        })),
        CompareTarget::Mod => version.mod_revision.cmp(&wanted(match union {
            Some(TargetUnion::ModRevision(number)) => Some(*number),
            _ => None,
        })),
        CompareTarget::Lease => version.lease.cmp(&wanted(match union {
            Some(TargetUnion::Lease(number)) => Some(*number),
            _ => None,
        })),
        CompareTarget::Value => {
            let wanted = match union {
                Some(TargetUnion::Value(wanted)) => wanted.clone(),
                _ => Bytes::new(),
            };
            value.cloned().unwrap_or_default().cmp(&wanted)
        }
    };
    match result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
    }
}

/// Does what was decided. A value that cannot be read spoils the response and nothing else.
pub fn carry_out<V: Values>(
    writing: &mut Writing<'_>,
    request: &TxnRequest,
    path: &Path,
    values: &V,
) -> Result<TxnResponse, V::Error> {
    let mut doing = Doing { writing, values, failed: None };
    let mut taken = path.0.iter().copied();
    let response = doing.txn(request, &mut taken);
    match doing.failed {
        None => Ok(response),
        Some(error) => Err(error),
    }
}

struct Doing<'a, 'w, V: Values> {
    writing: &'a mut Writing<'w>,
    values: &'a V,
    failed: Option<V::Error>,
}

impl<V: Values> Doing<'_, '_, V> {
    fn txn(&mut self, request: &TxnRequest, taken: &mut impl Iterator<Item = bool>) -> TxnResponse {
        // The path has one answer for each transaction, in the same order.
        let succeeded = taken.next().unwrap_or_default();
        let mut responses = Vec::with_capacity(branch(request, succeeded).len());
        for op in branch(request, succeeded) {
            let response = match &op.request {
                None => None,
                Some(Request::RequestRange(range)) => {
                    Some(Response::ResponseRange(self.range(range)))
                }
                Some(Request::RequestPut(put)) => Some(Response::ResponsePut(self.put(put))),
                Some(Request::RequestDeleteRange(delete)) => {
                    Some(Response::ResponseDeleteRange(self.delete(delete)))
                }
                Some(Request::RequestTxn(inner)) => {
                    let mut response = self.txn(inner, taken);
                    response.header = Some(ResponseHeader::default());
                    Some(Response::ResponseTxn(response))
                }
            };
            responses.push(ResponseOp { response });
        }
        TxnResponse { header: None, succeeded, responses }
    }

    fn put(&mut self, request: &PutRequest) -> PutResponse {
        let previous = self.writing.current(&request.key);
        let prev_kv = match previous.filter(|_| request.prev_kv) {
            Some(version) => self.key_value(&request.key, &version, false),
            None => None,
        };
        let value = match previous.filter(|_| request.ignore_value) {
            Some(version) => self.read(&request.key, &version).unwrap_or_default(),
            None => request.value.clone(),
        };
        let lease = match previous.filter(|_| request.ignore_lease) {
            Some(version) => version.lease,
            None => request.lease,
        };
        self.writing.put(&request.key, &value, lease);
        PutResponse { header: header(self.writing.revision()), prev_kv }
    }

    fn delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let range = KeyRange::of_request(request.key.clone(), request.range_end.clone());
        let existing = self.writing.view().range(&range);
        let existing: Vec<(Bytes, Version)> =
            existing.map(|(key, version)| (key.to_bytes(), *version)).collect();
        let mut prev_kvs = Vec::new();
        for (key, version) in &existing {
            if request.prev_kv {
                prev_kvs.extend(self.key_value(key, version, false));
            }
            self.writing.delete(key);
        }
        let deleted = i64::try_from(existing.len()).unwrap_or(i64::MAX);
        DeleteRangeResponse { header: header(self.writing.revision()), deleted, prev_kvs }
    }

    fn range(&mut self, request: &RangeRequest) -> RangeResponse {
        let newest = self.writing.view();
        let header = header(newest.revision);
        let view = match request.revision {
            ..=0 => newest,
            revision => View { revision, is_newest: false, ..newest },
        };
        let seen = Seen { writing: self.writing, values: self.values };
        let selected = match range::select(&view, request, &seen) {
            Ok(selected) => selected,
            Err(error) => {
                self.failed.get_or_insert(error);
                return RangeResponse::default();
            }
        };
        let kvs = selected.keys.iter();
        let kvs = kvs.filter_map(|(key, version)| self.key_value(key, version, request.keys_only));
        let kvs = kvs.collect();
        RangeResponse { header, kvs, more: selected.more, count: selected.count }
    }

    fn key_value(&mut self, key: &Bytes, version: &Version, keys_only: bool) -> Option<KeyValue> {
        let value = if keys_only { Bytes::new() } else { self.read(key, version)? };
        Some(key_value(key, version, value))
    }

    fn read(&mut self, key: &[u8], version: &Version) -> Option<Bytes> {
        let seen = Seen { writing: self.writing, values: self.values };
        match seen.value(key, version) {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
    }
}

/// What a transaction sees: what it has written itself, and everything before.
struct Seen<'a, 'w, V> {
    writing: &'a Writing<'w>,
    values: &'a V,
}

impl<V: Values> Values for Seen<'_, '_, V> {
    type Error = V::Error;

    fn value(&self, key: &[u8], version: &Version) -> Result<Bytes, V::Error> {
        match self.writing.written(key).filter(|_| version.mod_revision == self.writing.number()) {
            Some(value) => Ok(value),
            None => self.values.value(key, version),
        }
    }
}

/// The protocol's form of one version.
pub fn key_value(key: &Bytes, version: &Version, value: Bytes) -> KeyValue {
    KeyValue {
        key: key.clone(),
        create_revision: version.create_revision,
        mod_revision: version.mod_revision,
        version: version.number,
        value,
        lease: version.lease,
    }
}

/// As in the answers inside a transaction: only a revision.
fn header(revision: Revision) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

#[cfg(test)]
mod tests;
