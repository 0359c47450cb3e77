//! Arbitrary text as cpuset lists and partitions: no panic, no endless loop.

#![no_main]

use hostfs::cgroup::parse::{cpus, mems, partition};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = cpus(text);
    let _ = mems(text);
    let _ = partition(text);
});
