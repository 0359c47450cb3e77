//! What lies in etcd's buckets: keys by revision, leases, and the few entries that etcd and its tools want to find. Owns their bytes.
//! Source: observed on etcd 3.7.3, and the names in `server/storage/schema` there.

use prost::Message as _;
use proto::etcd::mvccpb::KeyValue;

use super::{Source, bolt};
use crate::chronology::Kept;
use crate::mvcc::{Revision, Version};

use bytes::Bytes;

/// Of the layout; what `Maintenance.Status` says too.
pub const STORAGE_VERSION: &str = "3.7.0";

pub const KEYS: &str = "key";
pub const LEASES: &str = "lease";
pub const META: &str = "meta";
pub const SCHEDULED_COMPACTION: &str = "scheduledCompactRev";
pub const FINISHED_COMPACTION: &str = "finishedCompactRev";

/// Revision and number of the write; a deletion has a letter behind it.
const REVISION_KEY_BYTES: usize = 17;
const TOMBSTONE: u8 = b't';

/// A lease as etcd keeps it (`leasepb.Lease`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Lease {
    #[prost(int64, tag = "1")]
    pub id: i64,
    #[prost(int64, tag = "2")]
    pub ttl_s: i64,
    /// 0 for the whole.
    #[prost(int64, tag = "3")]
    pub remaining_s: i64,
}

pub fn revision_key(version: &Version) -> Vec<u8> {
    let mut key = revision_bytes(version.mod_revision, version.place.sub.into()).to_vec();
    if version.is_deletion() {
        key.push(TOMBSTONE);
    }
    key
}

/// Revision, number of the write, and whether it is a deletion.
pub fn read_revision_key(key: &[u8]) -> Option<(Revision, u64, bool)> {
    let is_deletion = match key.get(REVISION_KEY_BYTES..)? {
        [] => false,
        [TOMBSTONE] => true,
        _ => return None,
    };
    let (main, rest) = key.split_first_chunk::<8>()?;
    let (separator, rest) = rest.split_first()?;
    let (sub, _) = rest.split_first_chunk::<8>()?;
    let is_one = *separator == b'_';
    is_one.then(|| (i64::from_be_bytes(*main), u64::from_be_bytes(*sub), is_deletion))
}

fn revision_bytes(revision: Revision, sub: u64) -> [u8; REVISION_KEY_BYTES] {
    let mut bytes = [b'_'; REVISION_KEY_BYTES];
    bytes[..8].copy_from_slice(&revision.to_be_bytes());
    bytes[9..].copy_from_slice(&sub.to_be_bytes());
    bytes
}

/// A deletion has only its key.
pub fn key_value(kept: &Kept, value: Bytes) -> Vec<u8> {
    KeyValue { key: kept.key.clone(), value, ..numbers(&kept.version) }.encode_to_vec()
}

/// Without the value, of which the index has the length.
pub fn key_value_bytes(key: &[u8], version: &Version) -> usize {
    let text = |bytes: usize| match bytes {
        0 => 0,
        bytes => 1 + prost::encoding::encoded_len_varint(bytes as u64) + bytes,
    };
    text(key.len()) + numbers(version).encoded_len() + text(version.place.length as usize)
}

fn numbers(version: &Version) -> KeyValue {
    match version.is_deletion() {
        true => KeyValue::default(),
        false => KeyValue {
            create_revision: version.create_revision,
            mod_revision: version.mod_revision,
            version: version.number,
            lease: version.lease,
            ..KeyValue::default()
        },
    }
}

pub fn lease(id: i64, ttl_s: i64) -> Vec<u8> {
    Lease { id, ttl_s, remaining_s: 0 }.encode_to_vec()
}

/// Every bucket of etcd, in the order of their names. Members are left out: who restores a snapshot says who they are.
pub(super) fn buckets(source: &Source<'_>, keys: u64, leases: u64) -> Vec<(&'static str, Vec<u8>)> {
    let empty = || bolt::small_bucket(&[]);
    let cluster = bolt::small_bucket(&[("clusterVersion", STORAGE_VERSION.into())]);
    vec![
        ("alarm", empty()),
        ("auth", empty()),
        ("authRoles", empty()),
        ("authUsers", empty()),
        ("cluster", cluster),
        (KEYS, bolt::bucket(keys)),
        (LEASES, bolt::bucket(leases)),
        ("members", empty()),
        ("members_removed", empty()),
        (META, meta(source)),
    ]
}

/// Where etcd is in its own log: every revision is an entry of one, as `Maintenance.Status` has it.
fn meta(source: &Source<'_>) -> Vec<u8> {
    let mut entries: Vec<(&str, Vec<u8>)> =
        vec![("consistent_index", source.revision.to_be_bytes().to_vec())];
    if source.compacted > 0 {
        let compacted = revision_bytes(source.compacted, 0).to_vec();
        entries.push((FINISHED_COMPACTION, compacted.clone()));
        entries.push((SCHEDULED_COMPACTION, compacted));
    }
    entries.push(("storageVersion", STORAGE_VERSION.into()));
    entries.push(("term", source.term.to_be_bytes().to_vec()));
    bolt::small_bucket(&entries)
}
