//! Arbitrary bytes as requests on the wire, decoded, checked and done one after the other as the store does. No panic, and the log that
//! comes of it is read back into the same state.

#![no_main]

use std::convert::Infallible;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use metastore::checkpoint::{self, Checkpoint};
use metastore::mvcc::Version;
use metastore::range::{self, Values};
use metastore::replay;
use metastore::state::{State, Writing};
use metastore::txn::{self, check};
use prost::Message as _;
use proto::etcd::etcdserverpb::{RangeRequest, TxnRequest};

/// The values of a log that is one payload.
struct Payload(Bytes);

impl Values for Payload {
    type Error = Infallible;

    fn value(&self, _key: &[u8], version: &Version) -> Result<Bytes, Infallible> {
        let begin = version.place.lsn as usize;
        Ok(self.0.slice(begin..begin + version.place.length as usize))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut state = State::default();
    let mut log = Vec::new();
    for request in bytes.split(|byte| *byte == 0xff) {
        if let Ok(request) = TxnRequest::decode(request) {
            do_txn(&mut state, &mut log, &request);
        }
        if let Ok(request) = RangeRequest::decode(request) {
            let _ = range::check(&request).and_then(|()| range::check_stream(&request));
        }
    }
    let mut read_back = State::default();
    let payload = Bytes::from(log);
    replay::group(&mut read_back, (0, &payload), 0, &mut |_, _| {}).expect("our own log");
    assert_eq!(image(state), image(read_back));
});

fn do_txn(state: &mut State, log: &mut Vec<u8>, request: &TxnRequest) {
    if check::txn(request, check::MAX_TXN_OPS).is_err() {
        return;
    }
    let values = Payload(Bytes::copy_from_slice(log));
    let Ok(path) = txn::decide(state, request, &values) else { return };
    let before = state.revision;
    let mut writing = Writing::begin(state, log, 0);
    let Ok(_) = txn::carry_out(&mut writing, request, &path, &values);
    let happened = writing.finish();
    // A revision is given where something was written, and nowhere else.
    assert_eq!(state.revision - before, i64::from(happened.is_some()));
}

fn image(state: State) -> Vec<u8> {
    let mut image = Vec::new();
    let checkpoint = Checkpoint { state, groups: Vec::new() };
    checkpoint::write(&checkpoint, &mut image).expect("a vector takes everything");
    image
}
