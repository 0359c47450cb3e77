//! Arbitrary text as cgroup.events, cgroup.procs, controllers and io.stat: no panic, no endless loop.

#![no_main]

use hostfs::cgroup::parse::{controllers, events, io_stat, procs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = events(text);
    let _ = procs(text);
    let _ = controllers(text);
    let _ = io_stat(text);
});
