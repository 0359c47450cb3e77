//! Arbitrary text as cpu.stat, cpu.weight and cpu.max: no panic, no endless loop.

#![no_main]

use hostfs::cgroup::parse::{cpu_max, cpu_stat, cpu_weight};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = cpu_stat(text);
    let _ = cpu_weight(text);
    if let Ok(limit) = cpu_max(text) {
        assert_eq!(
            cpu_max(&limit.to_string()).ok(),
            Some(limit),
            "what is written is what was read"
        );
    }
});
