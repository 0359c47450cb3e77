//! Arbitrary text as the mount table: no panic, no endless loop.

#![no_main]

use std::path::Path;

use hostfs::cgroup::layout::layout;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = layout(text, Path::new("/sys/fs/cgroup"));
});
