//! Everything that a store ever was, told by its changes. Owns what follows from them: each key at each revision, and that no revision is
//! told twice in different words.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use proto::etcd::mvccpb::event::EventType;
use proto::etcd::mvccpb::{Event, KeyValue};

use crate::happening::{Happened, Happening};
use crate::mvcc::Revision;

/// One write of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Bytes,
    /// `None` for a deletion.
    pub value: Option<Bytes>,
    pub lease: i64,
}

impl Change {
    pub fn of_event(event: &Event) -> Change {
        let kv = event.kv.clone().unwrap_or_default();
        let value = (event.r#type() == EventType::Put).then_some(kv.value);
        Change { key: kv.key, value, lease: kv.lease }
    }

    pub fn of_happening(happening: &Happening) -> Vec<Change> {
        let of = |one: &Happened| Change {
            key: one.key.clone(),
            value: (!one.version.is_deletion()).then(|| one.value.clone()),
            lease: one.version.lease,
        };
        happening.events.iter().map(of).collect()
    }
}

/// All revisions from 2 on, without a gap.
#[derive(Clone, Debug, Default)]
pub struct Chronicle {
    changes: BTreeMap<Revision, Vec<Change>>,
    /// What each key was, by the revision; version 0 is a deletion.
    keys: HashMap<Bytes, BTreeMap<Revision, KeyValue>>,
}

impl Chronicle {
    /// 1 while nothing was written, as in an empty store.
    pub fn last(&self) -> Revision {
        self.changes.last_key_value().map_or(1, |(revision, _)| *revision)
    }

    /// The next revision, or one that is known and must be the same.
    pub fn add(&mut self, revision: Revision, changes: Vec<Change>) -> Result<(), String> {
        if let Some(known) = self.changes.get(&revision) {
            let is_same = *known == changes;
            let told = || format!("revision {revision} was {known:?} and is {changes:?}");
            return if is_same { Ok(()) } else { Err(told()) };
        }
        if revision != self.last() + 1 {
            return Err(format!("revision {revision} comes after revision {}", self.last()));
        }
        for change in &changes {
            let next = self.next_of(revision, change)?;
            self.keys.entry(change.key.clone()).or_default().insert(revision, next);
        }
        self.changes.insert(revision, changes);
        Ok(())
    }

    pub fn at(&self, revision: Revision) -> Option<&[Change]> {
        self.changes.get(&revision).map(Vec::as_slice)
    }

    pub fn from(&self, revision: Revision) -> impl Iterator<Item = (Revision, &[Change])> {
        self.changes.range(revision..).map(|(revision, changes)| (*revision, changes.as_slice()))
    }

    /// `None` where it was not there.
    pub fn key_at(&self, key: &[u8], revision: Revision) -> Option<&KeyValue> {
        let (_, kv) = self.keys.get(key)?.range(..=revision).next_back()?;
        Some(kv).filter(|kv| kv.version > 0)
    }

    /// Ascending.
    pub fn all_at(&self, revision: Revision) -> Vec<&KeyValue> {
        let mut all: Vec<&KeyValue> =
            self.keys.keys().filter_map(|key| self.key_at(key, revision)).collect();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all
    }

    fn next_of(&self, revision: Revision, change: &Change) -> Result<KeyValue, String> {
        let before = self.key_at(&change.key, revision);
        let Change { key, value, lease } = change.clone();
        match (value, before) {
            (None, None) => Err(format!("revision {revision} deletes {key:?}, which is not there")),
            (None, Some(_)) => Ok(KeyValue { key, mod_revision: revision, ..KeyValue::default() }),
            (Some(value), before) => {
                let (create_revision, version) =
                    before.map_or((revision, 1), |kv| (kv.create_revision, kv.version + 1));
                let mod_revision = revision;
                Ok(KeyValue { key, create_revision, mod_revision, version, value, lease })
            }
        }
    }
}
