//! Prints what the index costs: ns per operation and bytes per entry, for keys of 60 bytes in random order and values of 48 bytes. The ns
//! are those that this thread was on a CPU, so that other programs on the machine change them little. `cargo run --release -p metastore
//! --example index -- [ENTRIES [LEAF BRANCH]]`; the last two are the fan-out.
#![expect(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::hint::black_box;

use bytes::Bytes;
use metastore::index::{End, Fanout, Index, KeyRange, Weigh};

/// Operations of the measurements that need not touch every entry.
const SOME: usize = 200_000;

/// Writes of one commit group: the store takes one snapshot for each group.
const GROUP: usize = 64;

#[derive(Clone)]
struct Value([u64; 6]);

impl Weigh for Value {
    fn weight(&self) -> u64 {
        self.0[0] & 1
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<usize> =
        std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let entries = numbers.first().copied().unwrap_or(1_000_000);
    let fanout = match numbers[..] {
        [_, leaf, branch] => Fanout { leaf: leaf.try_into()?, branch: branch.try_into()? },
        _ => Fanout::default(),
    };
    println!("{entries} entries, {fanout:?}");
    let keys: Vec<_> = (0..entries + SOME).map(key).collect();
    let (old, new) = keys.split_at(entries);

    let before_bytes = resident_bytes()?;
    let mut index = Index::with_fanout(fanout);
    each("insert", old, |i, key| index.insert(key, Value([i as u64; 6])));
    println!("{:>24} {:>6}", "bytes per entry", (resident_bytes()? - before_bytes) / entries);
    reads(&index, old);
    let shuffled: Vec<_> = (0..SOME).map(|i| &old[mix(i) as usize % entries]).collect();
    each("update, no snapshot", &shuffled, |_, key| touch(&mut index, key));
    let mut snapshot = index.clone();
    each("update, snapshot per 64", &shuffled, |i, key| {
        keep_snapshot(i, &index, &mut snapshot);
        touch(&mut index, key);
    });
    println!("{:>24} {:>6}", "bytes per entry", (resident_bytes()? - before_bytes) / entries);
    each("insert, snapshot per 64", new, |i, key| {
        keep_snapshot(i, &index, &mut snapshot);
        index.insert(key, Value([i as u64; 6]));
    });
    drop(snapshot);
    each("remove", &old[..SOME.min(entries)], |_, key| index.remove(key.as_bytes()));
    let mut sorted = old.to_vec();
    sorted.sort();
    let mut ordered = Index::with_fanout(fanout);
    each("insert in order", &sorted, |i, key| ordered.insert(key, Value([i as u64; 6])));
    Ok(())
}

fn reads(index: &Index<Value>, keys: &[String]) {
    let shuffled: Vec<_> = (0..SOME).map(|i| &keys[mix(i) as usize % keys.len()]).collect();
    each("get", &shuffled, |_, key| black_box(index.get(key.as_bytes()).is_some()));
    let started = on_cpu_ns();
    for (key, value) in index.range(&KeyRange::all()) {
        black_box((&*key, value));
    }
    report("scan", started, keys.len());
    each("count of a range", &shuffled, |i, key| {
        let other = shuffled[(i + 1) % SOME];
        let (start, end) = (key.min(&other), key.max(&other));
        let end = End::Before(Bytes::copy_from_slice(end.as_bytes()));
        index.weight_in(&KeyRange { start: Bytes::copy_from_slice(start.as_bytes()), end })
    });
}

fn touch(index: &mut Index<Value>, key: &str) {
    index.update(key.as_bytes(), |value| value.0[1] += 1);
}

fn keep_snapshot(done: usize, index: &Index<Value>, snapshot: &mut Index<Value>) {
    if done.is_multiple_of(GROUP) {
        *snapshot = index.clone();
    }
}

fn each<K, R>(name: &str, keys: &[K], mut work: impl FnMut(usize, &K) -> R) {
    let started = on_cpu_ns();
    for (i, key) in keys.iter().enumerate() {
        black_box(work(i, key));
    }
    report(name, started, keys.len());
}

fn report(name: &str, started: u64, times: usize) {
    println!("{name:>24} {:>6} ns", (on_cpu_ns() - started) / times as u64);
}

/// A key such as an apiserver writes, in no order: 60 bytes.
fn key(i: usize) -> String {
    format!("/registry/pods/namespace-{:04}/web-7d4b9c6f5-{:016x}", mix(i) % 1000, mix(i))
}

/// Numbers that look random and differ for each `i` (a multiplication by an odd number and an xor with a shift can both be undone).
fn mix(i: usize) -> u64 {
    let mut bits = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits ^= bits >> 32;
    bits.wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// How long this thread has been on a CPU; 0 where the kernel does not say.
fn on_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Memory of this process that is in RAM.
fn resident_bytes() -> Result<usize, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: usize = line.split_whitespace().nth(1).ok_or("VmRSS without a value")?.parse()?;
    Ok(kib * 1024)
}
