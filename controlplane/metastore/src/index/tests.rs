//! The index against a `BTreeMap`, and the shape of its tree: order, depth, weights and fill.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::block::Block;
use super::keys::separator;
use super::node::Node;
use super::{End, Fanout, Index, KeyRange, Weigh};

type Model = BTreeMap<Vec<u8>, Value>;

/// Heap-allocated, as what a store keeps is, and as heavy as it says.
#[derive(Clone, Debug, PartialEq)]
struct Value(Box<u64>);

impl Weigh for Value {
    fn weight(&self) -> u64 {
        *self.0 % 3
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>, u64),
    Update(Vec<u8>, u64),
    Remove(Vec<u8>),
    /// Takes out the entry that comes first at or after the key, so that removals do hit.
    RemoveFrom(Vec<u8>),
    Snapshot,
}

const SMALL: Fanout = Fanout { leaf: 4, branch: 4 };

fn value(number: u64) -> Value {
    Value(Box::new(number))
}

/// Few letters, the extremes among them, so that keys meet and are prefixes of each other.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 0xfe, 0xff]), 0..5),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (key(), any::<u64>()).prop_map(|(key, number)| Op::Insert(key, number)),
        2 => (key(), any::<u64>()).prop_map(|(key, number)| Op::Update(key, number)),
        1 => key().prop_map(Op::Remove),
        4 => key().prop_map(Op::RemoveFrom),
        1 => Just(Op::Snapshot),
    ]
}

fn range() -> impl Strategy<Value = KeyRange> {
    let end = prop_oneof![
        1 => Just(End::Single),
        4 => key().prop_map(|end| End::Before(end.into())),
        1 => Just(End::Unbounded),
    ];
    (key(), end).prop_map(|(start, end)| KeyRange { start: start.into(), end })
}

fn fanout() -> impl Strategy<Value = Fanout> {
    prop::sample::select(vec![SMALL, Fanout { leaf: 5, branch: 7 }, Fanout::default()])
}

/// Does the same to both and compares what they answer.
#[track_caller]
fn step(index: &mut Index<Value>, model: &mut Model, op: &Op) {
    match op {
        Op::Insert(key, number) => {
            assert_eq!(index.insert(key, value(*number)), model.insert(key.clone(), value(*number)))
        }
        Op::Update(key, number) => {
            let change = |old: &mut Value| std::mem::replace(old, value(*number));
            assert_eq!(index.update(key, change), model.get_mut(key).map(change));
        }
        Op::Remove(key) => assert_eq!(index.remove(key), model.remove(key)),
        Op::RemoveFrom(key) => {
            if let Some((key, _)) = model.range(key.clone()..).next() {
                let key = key.clone();
                assert_eq!(index.remove(&key), model.remove(&key));
            }
        }
        Op::Snapshot => {}
    }
}

#[track_caller]
fn assert_same(index: &Index<Value>, model: &Model) {
    let entries = index.range(&KeyRange::all());
    assert!(
        entries
            .map(|(key, value)| (key.to_vec(), value))
            .eq(model.iter().map(|(k, v)| (k.clone(), v)))
    );
    assert_eq!(index.len(), model.len());
    assert_eq!(index.weight(), model.values().map(Weigh::weight).sum::<u64>());
}

#[track_caller]
fn assert_range_same(index: &Index<Value>, model: &Model, range: &KeyRange) {
    let expected: Vec<_> = model.iter().filter(|(key, _)| range.contains(key)).collect();
    let found: Vec<_> = index.range(range).map(|(key, value)| (key.to_bytes(), value)).collect();
    let found: Vec<_> = found.iter().map(|(key, value)| (key.to_vec(), *value)).collect();
    assert_eq!(found, expected.iter().map(|(k, v)| ((*k).clone(), *v)).collect::<Vec<_>>());
    assert_eq!(index.weight_in(range), expected.iter().map(|(_, v)| v.weight()).sum::<u64>());
    assert!(expected.is_empty() || !range.is_empty());
}

/// Checks what must hold of the whole tree, and gives back its levels.
#[track_caller]
fn assert_shape(index: &Index<Value>) -> usize {
    if let Node::Branch(root) = &*index.root {
        assert!(root.len() >= 2, "a root with one child");
    }
    let seen = node_shape(&index.root, index.fanout, true, b"", None);
    assert_eq!((seen.entries, seen.weight), (index.len(), index.weight()));
    seen.levels
}

struct Shape {
    levels: usize,
    entries: usize,
    weight: u64,
}

/// All keys of `node` must lie from `low` on and before `high`.
#[track_caller]
fn node_shape(
    node: &Node<Value>,
    fanout: Fanout,
    root: bool,
    low: &[u8],
    high: Option<&[u8]>,
) -> Shape {
    let (keys, len, max) = match node {
        Node::Leaf(block) => (keys_of(block), block.len(), fanout.leaf),
        Node::Branch(block) => (keys_of(block), block.len(), fanout.branch),
    };
    assert!(len <= max.into() && (root || len >= node.min_len(fanout)), "{len} in a node of {max}");
    assert!(keys.is_sorted_by(|a, b| a < b), "keys out of order");
    assert!(keys.iter().all(|key| *key >= low && high.is_none_or(|high| *key < high)), "astray");
    let Node::Branch(block) = node else {
        let Node::Leaf(block) = node else { unreachable!("a node is one or the other") };
        return Shape { levels: 1, entries: len, weight: block.weight() };
    };
    assert_eq!(keys[0], low, "a branch starts where its parent says");
    let mut whole = Shape { levels: 0, entries: 0, weight: 0 };
    for (slot, child) in block.items.iter().enumerate() {
        let next = keys.get(slot + 1).copied().or(high);
        let shape = node_shape(&child.node, fanout, false, keys[slot], next);
        assert_eq!(shape.weight, child.weight, "the weight that the branch has for a child");
        assert!(slot == 0 || shape.levels + 1 == whole.levels, "leaves of two depths");
        whole.levels = shape.levels + 1;
        whole.entries += shape.entries;
        whole.weight += shape.weight;
    }
    whole
}

fn keys_of<T>(block: &Block<T>) -> Vec<&[u8]> {
    (0..block.len()).map(|slot| block.keys.get(slot)).collect()
}

/// Numbers that look random, the same in each run.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |last| {
        Some(last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .map(|number| number >> 33)
}

proptest! {
    #[test]
    fn does_what_a_map_does_and_stays_in_shape(
        ops in prop::collection::vec(op(), 0..250),
        ranges in prop::collection::vec(range(), 20),
        fanout in fanout(),
    ) {
        let (mut index, mut model) = (Index::with_fanout(fanout), Model::new());
        let mut snapshots = Vec::new();
        for op in &ops {
            step(&mut index, &mut model, op);
            assert_shape(&index);
            if let Op::Snapshot = op {
                snapshots.push((index.clone(), model.clone()));
            }
        }
        snapshots.push((index, model));
        for (index, model) in &snapshots {
            assert_shape(index);
            assert_same(index, model);
            ranges.iter().for_each(|range| assert_range_same(index, model, range));
        }
    }

    #[test]
    fn finds_each_key_as_it_was_put_in(ops in prop::collection::vec(op(), 0..150), absent in key()) {
        let (mut index, mut model) = (Index::with_fanout(SMALL), Model::new());
        ops.iter().for_each(|op| step(&mut index, &mut model, op));
        for (key, value) in &model {
            let (found, found_value) = index.get_key_value(key).expect("the model has it");
            prop_assert_eq!((&*found, &found.to_bytes()[..], found_value), (&key[..], &key[..], value));
        }
        prop_assert_eq!(index.get(&absent), model.get(&absent));
    }

    #[test]
    fn a_range_goes_on_behind_its_last_key(range in range(), last in key(), probe in key()) {
        let rest = range.after(&last);
        prop_assert_eq!(rest.contains(&probe), range.contains(&probe) && probe > last);
    }

    #[test]
    fn a_snapshot_is_read_in_pieces(keys in prop::collection::btree_set(key(), 0..80), piece in 1usize..9) {
        let mut index = Index::with_fanout(SMALL);
        keys.iter().for_each(|key| drop(index.insert(key, value(1))));
        let (snapshot, mut range, mut read) = (index.clone(), KeyRange::all(), Vec::new());
        loop {
            let some: Vec<_> = snapshot.range(&range).take(piece).map(|(key, _)| key.to_vec()).collect();
            let Some(last) = some.last() else { break };
            range = range.after(last);
            index.remove(last);
            read.extend(some);
        }
        prop_assert_eq!(read, keys.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_separator_is_between(left in key(), right in key()) {
        prop_assume!(left < right);
        let between = separator(&left, &right);
        prop_assert!(&left[..] < between && between <= &right[..]);
    }
}

#[test]
fn requests_name_ranges_as_etcd_reads_them() {
    #[track_caller]
    fn check(key: &'static [u8], range_end: &'static [u8], inside: &[&[u8]], outside: &[&[u8]]) {
        let range = KeyRange::of_request(Bytes::from_static(key), Bytes::from_static(range_end));
        assert!(inside.iter().all(|key| range.contains(key)), "{range:?} lacks one of {inside:?}");
        assert!(!outside.iter().any(|key| range.contains(key)), "{range:?} has one of {outside:?}");
        assert_eq!(range.is_empty(), inside.is_empty());
    }
    check(b"b", b"", &[b"b"], &[b"a", b"b\0", b"", b"c"]);
    check(b"b", b"c", &[b"b", b"b\0", b"b\xff\xff"], &[b"a\xff", b"c", b"c\0"]);
    check(b"b", b"\0", &[b"b", b"c", b"\xff\xff"], &[b"a", b"", b"\0"]);
    check(b"\0", b"\0", &[b"\0", b"a", b"\xff"], &[b""]);
    check(b"", b"\0", &[b"", b"\0", b"\xff"], &[]);
    check(b"", b"", &[b""], &[b"\0"]);
    check(b"b", b"b", &[], &[b"b", b"a", b"c"]);
    check(b"b", b"a", &[], &[b"b", b"a", b"", b"c"]);
    check(b"\0", b"\0\0", &[b"\0"], &[b"", b"\0\0", b"\x01"]);
}

#[test]
fn two_hundred_thousand_operations() {
    let (mut index, mut model) = (Index::default(), Model::new());
    let mut held = Vec::new();
    let mut random = numbers(7);
    let mut next = || random.next().expect("endless");
    for turn in 0..200_000 {
        // Grows to the middle, shrinks to the end.
        let grow = next() % 10 < if turn < 100_000 { 7 } else { 2 };
        let key = format!("/registry/pods/namespace-{:03}/pod-{}", next() % 50, next() % 2000);
        let op = match next() % 4 {
            0 => Op::Update(key.into(), next()),
            _ if grow => Op::Insert(key.into(), next()),
            _ => Op::RemoveFrom(key.into()),
        };
        step(&mut index, &mut model, &op);
        if turn % 64 == 0 {
            held.push(index.clone());
            held.drain(..held.len().saturating_sub(3));
        }
        if turn % 20_000 == 0 {
            assert_shape(&index);
            assert_same(&index, &model);
        }
    }
    assert_shape(&index);
    assert_same(&index, &model);
}

#[test]
fn orders_of_coming_and_going_leave_no_tall_tree() {
    #[track_caller]
    fn check(insert_order: impl Iterator<Item = u64>, remove_order: impl Iterator<Item = u64>) {
        let mut index = Index::with_fanout(SMALL);
        for number in insert_order {
            index.insert(number.to_be_bytes(), value(number));
        }
        // Two children a node at least: 2^12 leaves of two entries hold more than are here.
        assert!(assert_shape(&index) <= 12);
        for (turn, number) in remove_order.enumerate() {
            assert!(index.remove(&number.to_be_bytes()).is_some());
            if turn % 97 == 0 {
                assert_shape(&index);
            }
        }
        assert_eq!((assert_shape(&index), index.len(), index.weight()), (1, 0, 0));
    }
    let scattered = || (0..4000).map(|number| number * 1237 % 4000);
    check(0..4000, 0..4000);
    check(0..4000, (0..4000).rev());
    check((0..4000).rev(), scattered());
    check(scattered(), 0..4000);
    check(scattered(), scattered());
}

#[test]
fn keys_in_order_leave_full_nodes() {
    let mut index = Index::default();
    (0..10_000u64).for_each(|number| drop(index.insert(number.to_be_bytes(), value(1))));
    let Node::Branch(mut root) = (*index.root).clone() else { panic!("a leaf for 10000 entries") };
    let mut leaves = 0;
    while let Some(child) = root.items.pop() {
        match &*child.node {
            Node::Branch(block) => root.items.extend(block.items.iter().cloned()),
            Node::Leaf(_) => leaves += 1,
        }
    }
    // Three quarters of 32 and more in each.
    assert!(leaves <= 10_000 / 24 + 1, "{leaves} leaves");
}

#[test]
fn a_write_copies_only_what_is_shared() {
    let mut index = Index::default();
    (0..10_000u64).for_each(|number| drop(index.insert(number.to_be_bytes(), value(number))));
    let place = |index: &Index<Value>| {
        std::ptr::from_ref(index.get(&77u64.to_be_bytes()).expect("put in")) as usize
    };
    let before = place(&index);
    index.update(&77u64.to_be_bytes(), |old| *old.0 = 1);
    assert_eq!(place(&index), before, "in place without a snapshot");
    let snapshot = index.clone();
    index.update(&9_999u64.to_be_bytes(), |old| *old.0 = 1);
    assert_eq!(place(&index), before, "another leaf's write copies nothing here");
    index.update(&77u64.to_be_bytes(), |old| *old.0 = 5);
    assert_eq!((place(&snapshot), index.get(&77u64.to_be_bytes())), (before, Some(&value(5))));
    assert_eq!(snapshot.get(&77u64.to_be_bytes()), Some(&value(1)));
    let copied = place(&index);
    index.update(&77u64.to_be_bytes(), |old| *old.0 = 6);
    assert_eq!(place(&index), copied, "copied once");
    let key = |index: &Index<Value>| {
        index.get_key_value(&77u64.to_be_bytes()).map(|(key, _)| key.as_ptr() as usize)
    };
    assert_eq!(key(&index), key(&snapshot), "a copy shares the keys");
}

#[test]
fn an_index_goes_to_other_threads() {
    fn check<T: Send + Sync + 'static>(_: T) {}
    check(Index::<Value>::default());
}
