//! Arbitrary text as /proc/stat, meminfo, schedstat and zoneinfo: no panic, no endless loop.

#![no_main]

use hostfs::procfs::parse::{UserHz, low_watermarks, meminfo, schedstat, stat};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = stat(text, UserHz::new(100));
    let _ = low_watermarks(text);
    let _ = meminfo(text);
    let _ = schedstat(text);
});
