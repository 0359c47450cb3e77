//! One number for all that is visible at a revision, so that two stores can be compared: keys, values and the four numbers of each. It is
//! not etcd's number, which is over the pages of its own files.

use crate::engine::ReadError;
use crate::index::KeyRange;
use crate::mvcc::Revision;
use crate::range::Values as _;
use crate::store::Committed;

pub(super) fn at(committed: &Committed, revision: Revision) -> Result<u32, ReadError> {
    let mut hash = 0;
    for (key, version) in committed.view_at(revision).range(&KeyRange::all()) {
        let value = committed.value(&key, version)?;
        hash = crc32c::crc32c_append(hash, &key);
        for number in [version.create_revision, version.mod_revision, version.number, version.lease]
        {
            hash = crc32c::crc32c_append(hash, &number.to_le_bytes());
        }
        hash = crc32c::crc32c_append(hash, &value);
    }
    Ok(hash)
}
