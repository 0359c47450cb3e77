//! One number for all that is kept of a store at a revision, the same as etcd's `HashKV` of the same keys: two stores can be compared
//! with it, whichever of the two programs keeps them. Pure but for values.

use bytes::Bytes;

use crate::chronology::{Chronology, Kept};
use crate::index::{Index, KeyRange};
use crate::mvcc::{Entry, Revision, View};
use crate::range::Values;
use crate::snapshot::etcd;

/// Everything that was written after the compacted revision, and of what was before only what is still there at `at`.
pub fn at<V: Values>(
    index: &Index<Entry>,
    (at, compacted): (Revision, Revision),
    values: &V,
) -> Result<u32, V::Error> {
    let view = View { index, revision: at, is_newest: false };
    let has_keys = view.range(&KeyRange::all()).next().is_some();
    let is_counted = |kept: &Kept| {
        // Where there is no key at all, etcd compares with nothing and counts what compaction has left.
        kept.version.mod_revision > compacted
            || !has_keys
            || view.get(&kept.key).is_some_and(|one| one.mod_revision == kept.version.mod_revision)
    };
    let mut hash = crc32c::crc32c(etcd::KEYS.as_bytes());
    for kept in Chronology::new(index, at, compacted).iter().filter(is_counted) {
        let value = match kept.version.is_deletion() {
            true => Bytes::new(),
            false => values.value(&kept.key, &kept.version)?,
        };
        hash = crc32c::crc32c_append(hash, &etcd::revision_key(&kept.version));
        hash = crc32c::crc32c_append(hash, &etcd::key_value(&kept, value));
    }
    Ok(hash)
}
