//! What a transaction would add under each prefix that has a limit. Pure; by the state before it and the branches that it takes. No key is
//! written twice in one transaction, so that the order does not matter.

use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{DeleteRangeRequest, PutRequest};

use super::Prefixes;
use crate::index::KeyRange;
use crate::mvcc::Version;
use crate::state::State;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    pub bytes: i64,
    pub keys: i64,
    /// Operations that write: a deletion is one, whatever goes with it.
    pub writes: u64,
}

/// By the place of the prefix; those that nothing is written under are not among them.
pub type Growths = Vec<(usize, Growth)>;

pub fn of(state: &State, prefixes: &Prefixes, taken: &[&Request]) -> Growths {
    let mut growths = Growths::new();
    for request in taken {
        match request {
            Request::RequestPut(put) => of_put(state, prefixes, put, &mut growths),
            Request::RequestDeleteRange(delete) => {
                of_deletion(state, prefixes, delete, &mut growths);
            }
            Request::RequestRange(_) | Request::RequestTxn(_) => {}
        }
    }
    growths
}

fn of_put(state: &State, prefixes: &Prefixes, put: &PutRequest, growths: &mut Growths) {
    let before = state.view().get(&put.key);
    let value_bytes = match before {
        Some(version) if put.ignore_value => i64::from(version.place.length),
        _ => i64::try_from(put.value.len()).unwrap_or(i64::MAX),
    };
    let (bytes, keys) = match before {
        Some(version) => (value_bytes - i64::from(version.place.length), 0),
        None => (value_bytes + length(&put.key), 1),
    };
    for nth in prefixes.of(&put.key) {
        add(growths, nth, Growth { bytes, keys, writes: 1 });
    }
}

fn of_deletion(
    state: &State,
    prefixes: &Prefixes,
    delete: &DeleteRangeRequest,
    growths: &mut Growths,
) {
    let range = KeyRange::of_request(delete.key.clone(), delete.range_end.clone());
    let mut of_this = Growths::new();
    for (key, version) in state.view().range(&range) {
        let bytes = -bytes_of(&key, version);
        for nth in prefixes.of(&key) {
            add(&mut of_this, nth, Growth { bytes, keys: -1, writes: 0 });
        }
    }
    for (nth, growth) in of_this {
        add(growths, nth, Growth { writes: 1, ..growth });
    }
}

fn add(growths: &mut Growths, nth: usize, more: Growth) {
    match growths.iter_mut().find(|(one, _)| *one == nth) {
        Some((_, growth)) => {
            growth.bytes += more.bytes;
            growth.keys += more.keys;
            growth.writes += more.writes;
        }
        None => growths.push((nth, more)),
    }
}

/// What one key has under its prefixes.
pub fn bytes_of(key: &[u8], version: &Version) -> i64 {
    length(key) + i64::from(version.place.length)
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}
