//! Orders and limits of a range that no transaction shows, and what a stream of parts cannot be.

use std::convert::Infallible;

use super::*;
use crate::mvcc::Place;
use crate::state::State;

/// The place of a value is its value.
struct Places;

impl Values for Places {
    type Error = Infallible;

    fn value(&self, _key: &[u8], version: &Version) -> Result<Bytes, Infallible> {
        Ok(Bytes::copy_from_slice(&version.place.lsn.to_be_bytes()))
    }
}

/// Keys that were written in their order, with values that fall.
fn state() -> State {
    let mut state = State::default();
    for (nth, key) in (1..).zip(["a", "b", "c", "d"]) {
        let (key, at) = (Bytes::from(key), state.revision + 1);
        let place = Place { lsn: 10 - nth, length: 8, sub: 0 };
        let version = state.next_version(&key, at, 0, place);
        state.put(&key, version);
        state.revision = at;
    }
    state
}

fn request(target: SortTarget, order: SortOrder, limit: i64) -> RangeRequest {
    let (sort_target, sort_order) = (target.into(), order.into());
    let (key, range_end) = (Bytes::from("a"), Bytes::from("z"));
    RangeRequest { key, range_end, sort_target, sort_order, limit, ..RangeRequest::default() }
}

/// etcd sorts what its limit leaves, and takes one more than the limit, where there is a target and no order.
#[test]
fn a_target_without_an_order_sorts_what_the_limit_leaves() {
    let state = state();
    let by_value = |order, limit| request(SortTarget::Value, order, limit);
    let filtered = RangeRequest { min_mod_revision: 1, ..by_value(SortOrder::None, 2) };
    let rows: [(RangeRequest, &str, bool); 7] = [
        (by_value(SortOrder::None, 0), "dcba", false),
        (by_value(SortOrder::None, 2), "cb", true),
        (by_value(SortOrder::None, 3), "dcb", true),
        (by_value(SortOrder::None, 4), "dcba", false),
        (by_value(SortOrder::Ascend, 2), "dc", true),
        (by_value(SortOrder::Descend, 2), "ab", true),
        (filtered, "dc", true),
    ];
    for (request, expected, more) in rows {
        let selected = match select(&state.view(), &request, &Places) {
            Ok(selected) => selected,
            Err(never) => match never {},
        };
        let keys: Vec<u8> = selected.keys.iter().flat_map(|(key, _)| key.to_vec()).collect();
        assert_eq!((keys, selected.more), (expected.into(), more), "{request:?}");
        assert_eq!(selected.count, 4);
    }
}

#[test]
fn what_a_stream_cannot_be() {
    let filtered = |request| RangeRequest { max_mod_revision: 9, ..request };
    let rows = [
        (request(SortTarget::Key, SortOrder::None, 3), None),
        (request(SortTarget::Key, SortOrder::Ascend, 0), None),
        (request(SortTarget::Value, SortOrder::None, 0), None),
        (request(SortTarget::Value, SortOrder::Ascend, 0), Some(Refusal::SortedStream)),
        (request(SortTarget::Key, SortOrder::Descend, 0), Some(Refusal::SortedStream)),
        (filtered(request(SortTarget::Key, SortOrder::Descend, 0)), Some(Refusal::SortedStream)),
        (filtered(request(SortTarget::Key, SortOrder::None, 0)), Some(Refusal::FilteredStream)),
        (RangeRequest::default(), Some(Refusal::EmptyKey)),
    ];
    for (request, refusal) in rows {
        assert_eq!(check_stream(&request).err(), refusal, "{request:?}");
    }
}
