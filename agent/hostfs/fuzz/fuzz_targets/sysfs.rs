//! Arbitrary text as CPU lists and masks, package ids, distances, node memory: no panic, no endless loop.

#![no_main]

use hostfs::sysfs::parse::{cpu_list, cpu_mask, distances, mem_total, node_meminfo, package_id};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = cpu_list(text);
    let _ = cpu_mask(text);
    let _ = package_id(text);
    let _ = distances(text);
    let _ = mem_total(text);
    let _ = node_meminfo(text);
});
