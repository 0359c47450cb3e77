//! The newest state of the store, and the one way in which it changes: a transaction that is being written. Pure; bytes for the log come
//! out beside what happened, and a revision is given only where something changed.

use std::sync::Arc;

use bytes::Bytes;

use crate::alarm::{self, Cause, VERSION_BYTES};
use crate::happening::{Happened, Happening};
use crate::index::Index;
use crate::lease::Leases;
use crate::mvcc::{Entry, Place, Revision, Version, View};
use crate::record::TxnWriter;
use crate::reserve::Reserve;

/// Everything that a start has to know again.
#[derive(Clone, Debug)]
pub struct State {
    pub index: Index<Entry>,
    pub revision: Revision,
    /// Revisions below are forgotten; 0 before the first compaction.
    pub compacted: Revision,
    pub leases: Leases,
    /// Why alarm NOSPACE is raised, if it is.
    pub no_space: Option<Cause>,
    /// Revisions that may be given without being durable; none before the first such one.
    pub reserve: Option<Reserve>,
    /// Key, value and numbers of all versions that are kept.
    pub version_bytes: u64,
}

impl Default for State {
    /// An empty store is at revision 1, as etcd's is.
    fn default() -> State {
        State {
            index: Index::default(),
            revision: 1,
            compacted: 0,
            leases: Leases::default(),
            no_space: None,
            reserve: None,
            version_bytes: 0,
        }
    }
}

impl State {
    pub fn view(&self) -> View<'_> {
        View { index: &self.index, revision: self.revision, is_newest: true }
    }

    /// What counts against a quota.
    pub fn live_bytes(&self) -> u64 {
        self.version_bytes + self.leases.len() as u64 * alarm::LEASE_BYTES
    }

    /// One write, as the log has it too. Returns what the key was.
    pub fn put(&mut self, key: &Bytes, version: Version) -> Option<Version> {
        let before = self.push(key, version);
        let lease_before = before.map_or(0, |before| before.lease);
        if lease_before != version.lease {
            self.leases.detach(lease_before, key);
        }
        self.leases.attach(version.lease, key);
        before
    }

    pub fn delete(&mut self, key: &Bytes, deleted: Version) -> Option<Version> {
        let before = self.push(key, deleted);
        if let Some(before) = &before {
            self.leases.detach(before.lease, key);
        }
        before
    }

    /// The version that a put makes of what the key is now.
    pub fn next_version(&self, key: &[u8], at: Revision, lease: i64, place: Place) -> Version {
        let before = self.index.get(key).map(Entry::newest).filter(|before| !before.is_deletion());
        let (create_revision, number) =
            before.map_or((at, 1), |before| (before.create_revision, before.number + 1));
        Version { mod_revision: at, create_revision, number, lease, place }
    }

    fn push(&mut self, key: &Bytes, version: Version) -> Option<Version> {
        self.version_bytes += bytes_of(key, &version);
        let before = self.index.update(key, |entry| {
            let before = *entry.newest();
            entry.push(version);
            before
        });
        if before.is_none() {
            self.index.insert(key, Entry::new(version));
        }
        before.filter(|before| !before.is_deletion())
    }
}

/// What one version counts.
pub fn bytes_of(key: &[u8], version: &Version) -> u64 {
    key.len() as u64 + u64::from(version.place.length) + VERSION_BYTES
}

/// A transaction that is being written: into the state, and into the payload of a group.
#[derive(Debug)]
pub struct Writing<'a> {
    state: &'a mut State,
    record: TxnWriter<'a>,
    /// Where the payload begins in the log.
    payload_lsn: u64,
    happened: Vec<Happened>,
}

impl<'a> Writing<'a> {
    pub fn begin(state: &'a mut State, payload: &'a mut Vec<u8>, payload_lsn: u64) -> Writing<'a> {
        let record = TxnWriter::begin(payload, state.revision + 1);
        Writing { state, record, payload_lsn, happened: Vec::new() }
    }

    /// The revision of what is written.
    pub fn number(&self) -> Revision {
        self.state.revision + 1
    }

    /// The revision that an answer has: the new one once something was written.
    pub fn revision(&self) -> Revision {
        if self.happened.is_empty() { self.state.revision } else { self.number() }
    }

    pub fn view(&self) -> View<'_> {
        View { index: &self.state.index, revision: self.revision(), is_newest: true }
    }

    pub fn current(&self, key: &[u8]) -> Option<Version> {
        self.view().get(key).copied()
    }

    /// What this transaction itself has put there.
    pub fn written(&self, key: &[u8]) -> Option<Bytes> {
        let of_key = |one: &&Happened| *one.key == *key && !one.version.is_deletion();
        self.happened.iter().rev().find(of_key).map(|one| one.value.clone())
    }

    pub fn put(&mut self, key: &[u8], value: &[u8], lease: i64) {
        let at = self.record.put(key, lease, value);
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let place = Place { lsn: self.payload_lsn + at as u64, length, sub: self.sub() };
        let version = self.state.next_version(key, self.number(), lease, place);
        let key = Bytes::copy_from_slice(key);
        let previous = self.state.put(&key, version);
        // A copy of its own: the request's buffer would stay as long as the event does.
        let value = Bytes::copy_from_slice(value);
        self.happened.push(Happened::new(key, version, value, previous));
    }

    /// Of a key that exists.
    pub fn delete(&mut self, key: &[u8]) {
        self.record.delete(key);
        let (key, deleted) =
            (Bytes::copy_from_slice(key), Version::deleted_as(self.number(), self.sub()));
        let previous = self.state.delete(&key, deleted);
        self.happened.push(Happened::new(key, deleted, Bytes::new(), previous));
    }

    /// Of the next write.
    fn sub(&self) -> u32 {
        u32::try_from(self.happened.len()).unwrap_or(u32::MAX)
    }

    /// `None` where nothing was written: no revision, and no byte in the log.
    pub fn finish(self) -> Option<Arc<Happening>> {
        if self.happened.is_empty() {
            self.record.cancel();
            return None;
        }
        self.record.finish();
        self.state.revision += 1;
        Some(Arc::new(Happening { revision: self.state.revision, events: self.happened }))
    }
}
