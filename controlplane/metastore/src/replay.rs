//! The log read back into a state: each record does again what it did. Pure; the groups are handed in.

use bytes::Bytes;
use thiserror::Error;

use crate::alarm;
use crate::lease::Nanos;
use crate::mvcc::{Entry, Place, Revision, Version};
use crate::record::{Copied, Record, RecordError, Write, records};
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
    group: (u64, &Bytes),
    now: Nanos,
    superseded: &mut impl FnMut(Revision, &Bytes),
) -> Result<(), ReplayError> {
    group_until(state, group, (now, Revision::MAX), superseded).map(drop)
}

/// The same up to the first transaction behind revision `last`; whether there was none.
pub fn group_until(
    state: &mut State,
    (lsn, payload): (u64, &Bytes),
    (now, last): (Nanos, Revision),
    superseded: &mut impl FnMut(Revision, &Bytes),
) -> Result<bool, ReplayError> {
    for record in records(payload) {
        let record = record.map_err(|source| ReplayError::Record { at: lsn, source })?;
        match record {
            Record::Txn { revision, .. } | Record::Copied { revision, .. } if revision > last => {
                return Ok(false);
            }
            Record::Txn { revision, writes } => {
                if revision != state.revision + 1 {
                    let after = state.revision;
                    return Err(ReplayError::Order { at: lsn, found: revision, after });
                }
                txn(state, lsn, (revision, writes), superseded);
                state.revision = revision;
            }
            Record::Copied { revision, writes } => {
                if revision <= state.revision {
                    let after = state.revision;
                    return Err(ReplayError::Order { at: lsn, found: revision, after });
                }
                copied(state, lsn, writes, superseded);
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
            Record::Reserved(reserve) => state.reserve = Some(reserve),
            Record::Moved { key, version, value: _ } => {
                let place = Place { lsn: lsn + version.place.lsn, ..version.place };
                state.index.update(&key, |entry| entry.relocate(version.mod_revision, place));
            }
        }
    }
    Ok(true)
}

fn txn(
    state: &mut State,
    lsn: u64,
    (revision, writes): (Revision, Vec<Write>),
    superseded: &mut impl FnMut(Revision, &Bytes),
) {
    for (sub, write) in (0..).zip(writes) {
        let (key, before) = match write {
            Write::Put { key, lease, value, at } => {
                let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
                let place = Place { lsn: lsn + u64::from(at), length, sub };
                let version = state.next_version(&key, revision, lease, place);
                let key = Bytes::copy_from_slice(&key);
                let before = state.put(&key, version);
                (key, before.is_some())
            }
            Write::Delete { key } => {
                let key = Bytes::copy_from_slice(&key);
                state.delete(&key, Version::deleted_as(revision, sub));
                (key, true)
            }
        };
        if before {
            superseded(revision, &key);
        }
    }
}

fn copied(
    state: &mut State,
    lsn: u64,
    writes: Vec<Copied>,
    superseded: &mut impl FnMut(Revision, &Bytes),
) {
    for Copied { key, mut version, .. } in writes {
        let key = Bytes::copy_from_slice(&key);
        version.place.lsn += lsn;
        let before = match version.is_deletion() {
            true => state.delete(&key, version),
            false => state.put(&key, version),
        };
        if before.is_some() || version.is_deletion() {
            superseded(version.mod_revision, &key);
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
