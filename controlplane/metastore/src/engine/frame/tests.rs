//! Layout of a header, and that nothing but a whole group in its own place is believed.

use super::*;

const STORE: StoreId = StoreId(0xfeed_beef);
const AT: Lsn = Lsn(4096);

fn group(payload: &[u8]) -> Vec<u8> {
    group_of(Kind::Group, payload)
}

fn group_of(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let payload_bytes = payload.len() as u32;
    let header = Header { kind, at: AT, epoch: Epoch(7), store: STORE, payload_bytes };
    let (left, right) = payload.split_at(payload.len() / 2);
    [&encode_header(&header, &[left, right])[..], payload].concat()
}

#[track_caller]
fn check(bytes: &[u8], at: Lsn, store: StoreId, expected: Result<u32, Invalid>) {
    let found = decode(bytes, at, store)
        .and_then(|header| verify(&header, bytes).map(|()| header.payload_bytes));
    assert_eq!(found, expected);
}

/// The example of docs/metastore-format.md; its checksum was computed by another program.
#[test]
fn layout_is_the_one_of_the_document() {
    let store = StoreId(0x5eed_0001);
    let header = Header { kind: Kind::Claim, at: Lsn(0), epoch: Epoch(1), store, payload_bytes: 0 };
    let mut expected = [0; 32];
    expected[..4].copy_from_slice(&[b'B', b'L', 1, 2]);
    expected[16] = 1;
    expected[24..].copy_from_slice(&[0x01, 0x00, 0xed, 0x5e, 0xa9, 0x2d, 0x90, 0x35]);
    assert_eq!(encode_header(&header, &[]), expected);
    assert_eq!(decode(&expected, Lsn(0), store), Ok(header));
    let bytes = group(b"abc");
    assert_eq!(bytes[4..16], [3, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[32..], *b"abc");
}

#[test]
fn only_a_whole_group_in_its_place_is_believed() {
    let good = group(b"payload");
    check(&good, AT, STORE, Ok(7));
    check(&group(b""), AT, STORE, Ok(0));
    check(&group_of(Kind::Deferred, b"payload"), AT, STORE, Ok(7));
    check(&good, AT + 1, STORE, Err(Invalid::Place(AT.0)));
    check(&good, AT, StoreId(1), Err(Invalid::Store(STORE.0)));
    check(&good[..good.len() - 1], AT, STORE, Err(Invalid::Length(7)));
    check(&good[..31], AT, STORE, Err(Invalid::Short));
    check(&[], AT, STORE, Err(Invalid::Short));
    check(&[0; 64], AT, STORE, Err(Invalid::Zeros));
    check(&[0; 64], Lsn(0), StoreId(0), Err(Invalid::Zeros));
    check(&[0xff; 64], AT, STORE, Err(Invalid::Magic));
}

#[test]
fn every_flipped_bit_is_seen() {
    let good = group(b"some payload");
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let found = decode(&bytes, AT, STORE).and_then(|header| verify(&header, &bytes));
        assert!(found.is_err(), "bit {bit}");
    }
}

#[test]
fn a_length_is_bounded_before_it_is_used() {
    let mut bytes = group(b"");
    bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    check(&bytes, AT, STORE, Err(Invalid::Length(u32::MAX)));
    bytes = group(b"");
    bytes[3] = Kind::Seal as u8;
    bytes[4] = 1;
    check(&bytes, AT, STORE, Err(Invalid::Length(1)));
    bytes[3] = 9;
    check(&bytes, AT, STORE, Err(Invalid::Kind(9)));
}

/// Programs that know only version 1 refuse a log with a deferred group, and no other kind is written in version 2.
#[test]
fn a_deferred_group_has_a_version_of_its_own() {
    let check_version = |kind: Kind, version: u8, payload: &[u8]| {
        assert_eq!(group_of(kind, payload)[2..4], [version, kind as u8]);
        let mut other = group_of(kind, payload);
        other[2] = 3 - version;
        check(&other, AT, STORE, Err(Invalid::Kind(kind as u8)));
    };
    check_version(Kind::Group, 1, b"a");
    check_version(Kind::Claim, 1, b"");
    check_version(Kind::Seal, 1, b"");
    check_version(Kind::Deferred, 2, b"a");
    check_version(Kind::Covering, 2, b"a");
}

#[test]
fn a_group_is_found_in_its_own_place_only() {
    let good = group(b"payload");
    let rest = [&[b'B'; 5][..], &good].concat();
    assert_eq!(find_durable_after_first_byte(&rest, Lsn(AT.0 - 5), STORE), Some(5));
    assert_eq!(find_durable_after_first_byte(&rest, Lsn(AT.0 - 6), STORE), None);
    assert_eq!(find_durable_after_first_byte(&good, AT, STORE), None);
}

/// What was durable when the last bytes were written, by the groups that are there.
#[test]
fn a_group_that_covers_deferred_ones_counts_when_another_follows_it() {
    let check_found = |kinds: &[Kind], expected: Option<usize>| {
        let mut bytes = vec![b'B'; 5];
        for &kind in kinds {
            let payload: &[u8] = if kind.has_payload() { b"ab" } else { b"" };
            let at = Lsn(AT.0 + bytes.len() as u64);
            let payload_bytes = payload.len() as u32;
            let header = Header { kind, at, epoch: Epoch(7), store: STORE, payload_bytes };
            bytes.extend(encode_header(&header, &[payload]));
            bytes.extend(payload);
        }
        assert_eq!(find_durable_after_first_byte(&bytes, AT, STORE), expected, "{kinds:?}");
    };
    use Kind::{Claim, Covering, Deferred, Group, Seal};
    check_found(&[Deferred], None);
    check_found(&[Deferred, Deferred, Covering], None);
    check_found(&[Covering, Deferred], Some(5));
    check_found(&[Covering, Covering], Some(5));
    check_found(&[Deferred, Covering, Group], Some(5 + 34));
    check_found(&[Group], Some(5));
    check_found(&[Deferred, Group], Some(5 + 34));
    check_found(&[Claim], Some(5));
    check_found(&[Deferred, Seal], Some(5 + 34));
}
