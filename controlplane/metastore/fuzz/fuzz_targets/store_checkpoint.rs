//! Arbitrary bytes as a checkpoint whose checksum was right: refused, or the same when it is written and read again, but for leases, which
//! are written in no order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use metastore::checkpoint::{read, write};
use metastore::lease::Leases;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut found) = read(&mut &bytes[..], 0) else { return };
    let n_leases = found.state.leases.len();
    found.state.leases = Leases::default();
    assert!(n_leases <= bytes.len() / 16);
    let mut once = Vec::new();
    write(&found, &mut once).expect("a vector takes everything");
    let again = read(&mut &once[..], 0).expect("what was written is read");
    let mut twice = Vec::new();
    write(&again, &mut twice).expect("a vector takes everything");
    assert_eq!(once, twice);
});
