//! Records there and back, cut and spoilt.

use proptest::prelude::*;

use super::*;

fn written() -> (Vec<u8>, Vec<Record>) {
    let mut payload = Vec::new();
    let mut txn = TxnWriter::begin(&mut payload, 7);
    let at = u32::try_from(txn.put(b"key", 9, b"value")).unwrap();
    txn.delete(b"");
    txn.finish();
    lease_granted(&mut payload, -3, 60);
    lease_revoked(&mut payload, i64::MAX);
    compacted(&mut payload, 5);
    alarm(&mut payload, 2);
    let reserve = Reserve { until: 1 << 40, boot: Boot([5; 16]) };
    reserved(&mut payload, reserve);
    let version = Version {
        mod_revision: 4,
        create_revision: 2,
        number: 2,
        lease: 0,
        place: Place { lsn: 0, length: 3, sub: 0 },
    };
    let moved_at = moved(&mut payload, b"k", &version, b"old");
    let place = Place { lsn: moved_at as u64, length: 3, sub: 0 };
    let put = Write::Put { key: "key".into(), lease: 9, value: "value".into(), at };
    let records = vec![
        Record::Txn { revision: 7, writes: vec![put, Write::Delete { key: Bytes::new() }] },
        Record::LeaseGranted { id: -3, ttl_s: 60 },
        Record::LeaseRevoked { id: i64::MAX },
        Record::Compacted { revision: 5 },
        Record::Alarm { cause: 2 },
        Record::Reserved(reserve),
        Record::Moved {
            key: "k".into(),
            version: Version { place, ..version },
            value: "old".into(),
        },
    ];
    (payload, records)
}

#[test]
fn what_is_written_is_read() {
    let (payload, expected) = written();
    let payload = Bytes::from(payload);
    let read: Vec<Record> = records(&payload).collect::<Result<_, _>>().unwrap();
    assert_eq!(read, expected);
    let Record::Txn { writes, .. } = &read[0] else { panic!("a transaction") };
    let Write::Put { at, value, .. } = &writes[0] else { panic!("a put") };
    assert_eq!(&payload[*at as usize..*at as usize + value.len()], b"value");
}

/// The bytes are what `docs/metastore-format.md` says, for as long as there are logs of this version.
#[test]
fn a_transaction_is_these_bytes() {
    let mut payload = Vec::new();
    let mut txn = TxnWriter::begin(&mut payload, 0x0102);
    txn.put(b"a", 3, b"xy");
    txn.delete(b"b");
    txn.finish();
    let expected: &[&[u8]] = &[
        &[1, 38, 0, 0, 0],
        &[2, 1, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0],
        &[1, 1, 0, 0, 0, b'a', 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'x', b'y'],
        &[2, 1, 0, 0, 0, b'b'],
    ];
    assert_eq!(payload, expected.concat());
}

#[test]
fn every_cut_is_an_error_and_no_other_record() {
    let (payload, expected) = written();
    for end in 0..payload.len() {
        let cut = Bytes::copy_from_slice(&payload[..end]);
        let read: Vec<_> = records(&cut).collect();
        let good: Vec<_> = read.iter().filter_map(|one| one.as_ref().ok().cloned()).collect();
        assert!(expected.starts_with(&good), "cut at {end}");
        assert!(read.iter().filter(|one| one.is_err()).count() <= 1);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        records(&Bytes::from(bytes)).for_each(drop);
    }
}
