//! Arbitrary keys put into the index, changed and taken out: the same as the ordered map of the standard library, in every range.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use metastore::index::{Fanout, Index, KeyRange, Weigh};

#[derive(Arbitrary, Debug)]
enum Op {
    Insert(Vec<u8>, bool),
    Remove(Vec<u8>),
    Count(Vec<u8>, Vec<u8>),
    Snapshot,
}

/// Counts, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted(bool);

impl Weigh for Counted {
    fn weight(&self) -> u64 {
        u64::from(self.0)
    }
}

fuzz_target!(|ops: Vec<Op>| {
    let mut index = Index::with_fanout(Fanout { leaf: 4, branch: 4 });
    let mut model = BTreeMap::new();
    let mut kept = None;
    for op in ops {
        match op {
            Op::Insert(key, counts) => {
                assert_eq!(index.insert(&key, Counted(counts)), model.insert(key, Counted(counts)));
            }
            Op::Remove(key) => assert_eq!(index.remove(&key), model.remove(&key)),
            Op::Count(start, end) => {
                check(&index, &model, &KeyRange::of_request(start.into(), end.into()))
            }
            Op::Snapshot => kept = Some((index.clone(), model.clone())),
        }
    }
    check(&index, &model, &KeyRange::all());
    if let Some((index, model)) = kept {
        check(&index, &model, &KeyRange::all());
    }
});

fn check(index: &Index<Counted>, model: &BTreeMap<Vec<u8>, Counted>, range: &KeyRange) {
    let inside = model.iter().filter(|(key, _)| range.contains(key));
    let meant: Vec<(Bytes, Counted)> =
        inside.map(|(key, value)| (key.clone().into(), *value)).collect();
    let found: Vec<(Bytes, Counted)> =
        index.range(range).map(|(key, value)| (key.to_bytes(), *value)).collect();
    assert_eq!(found, meant, "{range:?}");
    assert_eq!(index.weight_in(range), meant.iter().map(|(_, value)| value.weight()).sum::<u64>());
}
