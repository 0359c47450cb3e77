//! The wire form against prost's.

use proptest::prelude::*;
use proto::etcd::mvccpb::KeyValue;

use super::*;
use crate::mvcc::Place;
use crate::txn::key_value;

proptest! {
    #[test]
    fn a_key_is_the_bytes_that_prost_makes(
        key in prop::collection::vec(any::<u8>(), 0..200),
        value in prop::collection::vec(any::<u8>(), 0..300),
        numbers in prop::array::uniform4(prop_oneof![Just(0), any::<i64>(), 0..1000i64]),
        keys_only in any::<bool>(),
    ) {
        let [create_revision, mod_revision, number, lease] = numbers;
        let length = u32::try_from(value.len()).unwrap();
        let place = Place { lsn: 7, length, sub: 0 };
        let version = Version { mod_revision, create_revision, number, lease, place };
        let value = if keys_only { Vec::new() } else { value };
        let kv: KeyValue = key_value(&key.clone().into(), &version, value.clone().into());
        let expected = RangeResponse { kvs: vec![kv.clone()], ..RangeResponse::default() };
        let mut bytes = BytesMut::new();
        let length = kv_length(key.len(), &version, keys_only);
        prop_assert_eq!(length, kv.encoded_len());
        put_kv(&mut bytes, &key, &version, &value);
        let expected = expected.encode_to_vec();
        prop_assert_eq!(bytes.as_ref(), expected.as_slice());
    }
}

#[test]
fn requests_that_are_no_message() {
    let good = RangeRequest { key: "a".into(), limit: 3, ..RangeRequest::default() };
    let mut bytes = vec![0, 0, 0, 0, 5];
    bytes.extend(good.encode_to_vec());
    assert_eq!(message::<RangeRequest>(bytes.clone().into()).unwrap(), good);
    for length in 0..bytes.len() {
        assert!(message::<RangeRequest>(bytes[..length].to_vec().into()).is_err(), "{length}");
    }
    bytes[0] = 1;
    let told = message::<RangeRequest>(bytes.into()).unwrap_err();
    assert_eq!(told.code(), tonic::Code::Unimplemented);
}
