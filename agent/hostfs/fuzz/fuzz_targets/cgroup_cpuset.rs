//! Arbitrary text as cpuset lists and partitions: no panic, no endless loop.

#![no_main]

use hostfs::cgroup::parse::{cpus, mems, partition};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(set) = cpus(text) {
        assert_eq!(cpus(&set.to_string()).ok(), Some(set), "what is written is what was read");
    }
    if let Ok(set) = mems(text) {
        assert_eq!(mems(&set.to_string()).ok(), Some(set), "what is written is what was read");
    }
    let _ = partition(text);
});
