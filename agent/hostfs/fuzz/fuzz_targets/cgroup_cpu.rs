//! Arbitrary text as cpu.stat, cpu.weight and cpu.max: no panic, no endless loop.

#![no_main]

use hostfs::cgroup::parse::{cpu_max, cpu_stat, cpu_weight};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = cpu_stat(text);
    let _ = cpu_weight(text);
    let _ = cpu_max(text);
});
