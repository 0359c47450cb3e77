//! Arbitrary text as /proc/stat, meminfo and schedstat: no panic, no endless loop.

#![no_main]

use hostfs::procfs::parse::{UserHz, meminfo, schedstat, stat};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = stat(text, UserHz::new(100));
    let _ = meminfo(text);
    let _ = schedstat(text);
});
