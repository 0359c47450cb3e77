//! Arbitrary bytes as a group of the log whose checksum was right: read or refused, and replayed without a panic.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use metastore::record::records;
use metastore::replay;
use metastore::state::State;

fuzz_target!(|bytes: &[u8]| {
    let payload = Bytes::copy_from_slice(bytes);
    let read = records(&payload).filter(Result::is_ok).count();
    // The shortest record is five bytes.
    assert!(read <= payload.len() / 5);
    let mut state = State::default();
    let _ = replay::group(&mut state, (64, &payload), 0, &mut |_, _| {});
    assert!(state.index.weight() <= state.index.len() as u64);
});
