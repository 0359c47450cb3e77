//! Arbitrary text as pressure files: no panic, no endless loop.

#![no_main]

use hostfs::psi::parse_pressure;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = parse_pressure(text);
});
