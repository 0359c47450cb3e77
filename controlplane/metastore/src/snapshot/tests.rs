//! A file against the store that it is made of. What etcd itself makes of one is tested beside an etcd.

use std::convert::Infallible;

use super::reader::BoltFile;
use super::*;
use crate::index::Index;
use crate::mvcc::{Entry, Place, Version};

fn index(n_keys: i64) -> Index<Entry> {
    let mut index = Index::default();
    for nth in 0..n_keys {
        let place = Place { lsn: 0, length: 40, sub: 0 };
        // Not the order of the keys.
        let at = 2 + (nth * 7919) % n_keys;
        let version =
            Version { mod_revision: at, create_revision: at, number: 1, lease: nth % 3, place };
        let mut entry = Entry::new(version);
        if nth % 5 == 0 {
            entry.push(Version::deleted(at + n_keys));
        }
        index.insert(format!("/key/{nth:05}"), entry);
    }
    index
}

fn value(_: &Kept) -> Result<Bytes, Infallible> {
    Ok(Bytes::from_static(&[b'v'; 40]))
}

#[test]
fn a_file_is_as_long_as_planned_and_has_every_version() {
    for (n_keys, compacted) in [(0, 0), (1, 0), (2000, 0), (2000, 1500), (2000, 4000)] {
        let index = index(n_keys);
        let revision = 2 + 2 * n_keys;
        let chronology = Chronology::new(&index, revision, compacted);
        let leases: Vec<(i64, i64)> = (1..500).map(|id| (id, 60)).collect();
        let source = Source { chronology, revision, compacted, leases: &leases, term: 3 };
        let plan = Plan::of(&source);
        let mut bytes = Vec::new();
        let mut out = |page: &[u8]| {
            bytes.extend_from_slice(page);
            Ok::<(), Infallible>(())
        };
        write(&source, &plan, &value, &mut out).unwrap_or_else(|never| match never {});
        assert_eq!(bytes.len() as u64, plan.bytes());
        let file = BoltFile::open(&bytes[..], bytes.len() as u64).unwrap();
        let keys: Vec<_> = file.bucket("key").unwrap().map(Result::unwrap).collect();
        assert_eq!(keys.len() as u64, plan.n_versions, "{n_keys} {compacted}");
        let expected = chronology.iter().map(|kept| etcd::revision_key(&kept.version));
        assert!(keys.iter().map(|entry| entry.key.to_vec()).eq(expected));
        assert_eq!(file.bucket("lease").unwrap().count(), 499);
        assert_eq!(file.bucket("alarm").unwrap().count(), 0);
        assert_eq!(file.bucket("meta").unwrap().count(), if compacted > 0 { 5 } else { 3 });
    }
}
