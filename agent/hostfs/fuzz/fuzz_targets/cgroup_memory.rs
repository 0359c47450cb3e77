//! Arbitrary text as memory limits and memory.stat: no panic, no endless loop.

#![no_main]

use hostfs::cgroup::parse::{memory_limit, memory_stat};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = memory_limit(text);
    let _ = memory_stat(text);
});
