//! The log read back into a state: each record does again what it did. Pure; the groups are handed in.

use bytes::Bytes;
use thiserror::Error;

use crate::alarm;
use crate::lease::Nanos;
use crate::mvcc::{Entry, Place, Revision};
use crate::record::{Record, RecordError, Write, records};
use crate::state::State;

/// A log whose checksums are right and which cannot be: a defect, or the files of two stores in one folder.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    #[error("group at byte {at} of the log: {source}")]
    Record { at: u64, source: RecordError },
    #[error("group at byte {at} of the log: revision {found} after revision {after}")]
    Order { at: u64, found: Revision, after: Revision },
}

/// One group whose payload begins at `lsn`. `superseded` is told of every key that has an older version or is gone.
pub fn group(
    state: &mut State,
    (lsn, payload): (u64, &Bytes),
    now: Nanos,
    superseded: &mut impl FnMut(Revision, &Bytes),
) -> Result<(), ReplayError> {
    for record in records(payload) {
        let record = record.map_err(|source| ReplayError::Record { at: lsn, source })?;
        match record {
            Record::Txn { revision, writes } => {
                if revision != state.revision + 1 {
                    let after = state.revision;
                    return Err(ReplayError::Order { at: lsn, found: revision, after });
                }
                txn(state, lsn, (revision, writes), superseded);
                state.revision = revision;
            }
            Record::LeaseGranted { id, ttl_s } => {
                // The log has what was granted, which was checked then.
                let _ = state.leases.grant(id, ttl_s, now);
            }
            Record::LeaseRevoked { id } => {
                // Its keys are deleted by the transaction before.
                let _ = state.leases.revoke(id);
            }
            Record::Compacted { revision } => state.compacted = revision,
            Record::Alarm { cause } => state.no_space = alarm::of_number(cause),
            Record::Moved { key, version, value: _ } => {
                let place = Place { lsn: lsn + version.place.lsn, ..version.place };
                state.index.update(&key, |entry| entry.relocate(version.mod_revision, place));
            }
        }
    }
    Ok(())
}

fn txn(
    state: &mut State,
    lsn: u64,
    (revision, writes): (Revision, Vec<Write>),
    superseded: &mut impl FnMut(Revision, &Bytes),
) {
    for write in writes {
        let (key, before) = match write {
            Write::Put { key, lease, value, at } => {
                let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
                let place = Place { lsn: lsn + u64::from(at), length };
                let version = state.next_version(&key, revision, lease, place);
                let key = Bytes::copy_from_slice(&key);
                let before = state.put(&key, version);
                (key, before.is_some())
            }
            Write::Delete { key } => {
                let key = Bytes::copy_from_slice(&key);
                state.delete(&key, revision);
                (key, true)
            }
        };
        if before {
            superseded(revision, &key);
        }
    }
}

/// Keys with more than one version, or that are gone, of a state that was read from a checkpoint, by the revision from which on that can
/// be forgotten; ascending.
pub fn superseded(state: &State) -> Vec<(Revision, Bytes)> {
    let of = |entry: &Entry| {
        let newest = entry.newest();
        let n_versions = entry.versions().take(2).count();
        (n_versions > 1 || newest.is_deletion()).then_some(newest.mod_revision)
    };
    let all = state.index.range(&crate::index::KeyRange::all());
    let found = all.filter_map(|(key, entry)| Some((of(entry)?, Bytes::copy_from_slice(&key))));
    let mut found: Vec<(Revision, Bytes)> = found.collect();
    found.sort_by_key(|(revision, _)| *revision);
    found
}
