//! Arbitrary text as memory limits and memory.stat: no panic, no endless loop.

#![no_main]

use hostfs::cgroup::parse::{memory_limit, memory_stat};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(limit) = memory_limit(text) {
        let again = memory_limit(&limit.to_string()).ok();
        assert_eq!(again, Some(limit), "what is written is what was read");
    }
    let _ = memory_stat(text);
});
