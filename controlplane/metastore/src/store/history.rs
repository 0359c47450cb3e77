//! What happened from a revision on: from memory where it is still there, else from the log. For watchers that were away, that are slow,
//! or that begin in the past.

use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::{Committed, Store};
use crate::engine::{EngineError, Group, Lsn};
use crate::happening::{Happened, Happening};
use crate::mvcc::{Revision, Version};
use crate::record::{Copied, Record, RecordError, Write, records};

/// So much at a time; a transaction is never split.
const MOST_BYTES: usize = 1 << 20;
const MOST_HAPPENINGS: usize = 1000;

/// Why what happened cannot be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HistoryError {
    #[error("it was forgotten: the store was compacted at revision {compacted}")]
    Compacted { compacted: Revision },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("group at byte {at} of the log: {source}")]
    Record { at: u64, source: RecordError },
    #[error("the store has ended")]
    Ended,
}

impl Store {
    /// Some of what happened from `next` on, in order and without a gap, all of it durable. Nothing where there is nothing yet.
    pub fn history(&self, next: Revision) -> Result<Vec<Arc<Happening>>, HistoryError> {
        let committed = self.committed();
        if next < committed.compacted {
            return Err(HistoryError::Compacted { compacted: committed.compacted });
        }
        if next > committed.revision {
            return Ok(Vec::new());
        }
        let from = {
            let sequencer = self.sequencer().map_err(|_refusal| HistoryError::Ended)?;
            if let Some(recent) = sequencer.recent.from(next) {
                let durable = recent.take_while(|one| one.revision <= committed.revision);
                return Ok(limited(durable.map(|one| as_kept(one, committed.compacted))));
            }
            let before = sequencer.groups.partition_point(|(first, _)| *first <= next);
            let group = before.checked_sub(1).and_then(|nth| sequencer.groups.get(nth));
            group.map_or_else(|| self.engine.size().oldest, |(_, at)| *at)
        };
        self.read_history(&committed, from, next)
    }

    fn read_history(
        &self,
        committed: &Committed,
        from: Lsn,
        next: Revision,
    ) -> Result<Vec<Arc<Happening>>, HistoryError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for group in self.engine.groups(from)? {
            let group = group?;
            for happening in happenings(committed, &group, next) {
                let happening = happening?;
                let is_last = happening.revision == committed.revision;
                bytes += happening.bytes();
                found.push(happening);
                if is_last || bytes > MOST_BYTES || found.len() == MOST_HAPPENINGS {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}

fn limited(happenings: impl Iterator<Item = Arc<Happening>>) -> Vec<Arc<Happening>> {
    let mut bytes = 0;
    let mut some = Vec::new();
    for happening in happenings.take(MOST_HAPPENINGS) {
        bytes += happening.bytes();
        some.push(happening);
        if bytes > MOST_BYTES {
            break;
        }
    }
    some
}

/// What was before the compacted revision is forgotten, also by those who have not let go of it yet: clients tell by a change without it
/// that they came too late (Kubernetes' own tests do).
fn as_kept(happening: &Arc<Happening>, compacted: Revision) -> Arc<Happening> {
    if happening.revision > compacted {
        return Arc::clone(happening);
    }
    let event =
        |one: &Happened| Happened::new(one.key.clone(), one.version, one.value.clone(), None);
    let events = happening.events.iter().map(event).collect();
    Arc::new(Happening { revision: happening.revision, events })
}

/// The log may be ahead of the state, which knows nothing of what is behind it.
fn happenings<'a>(
    committed: &'a Committed,
    group: &'a Group,
    next: Revision,
) -> impl Iterator<Item = Result<Arc<Happening>, HistoryError>> + 'a {
    let at = group.at.0;
    records(&group.payload).filter_map(move |record| match record {
        Ok(Record::Txn { revision, writes }) if (next..=committed.revision).contains(&revision) => {
            let event = |write: Write| happened(committed, revision, write);
            let events = writes.into_iter().map(event).collect::<Option<Vec<_>>>();
            let compacted = committed.compacted;
            let happening = events.map(|events| Arc::new(Happening { revision, events }));
            Some(happening.ok_or(HistoryError::Compacted { compacted }))
        }
        Ok(Record::Copied { revision, writes })
            if (next..=committed.revision).contains(&revision) =>
        {
            let event = |write: Copied| happened_there(committed, write);
            let events = writes.into_iter().map(event).collect();
            Some(Ok(Arc::new(Happening { revision, events })))
        }
        Ok(_) => None,
        Err(source) => Some(Err(HistoryError::Record { at, source })),
    })
}

/// `None` where the index has forgotten the version, because the store was compacted meanwhile.
fn happened(committed: &Committed, revision: Revision, write: Write) -> Option<Happened> {
    let (key, value, is_deletion) = match write {
        Write::Put { key, value, .. } => (key, value, false),
        Write::Delete { key } => (key, Bytes::new(), true),
    };
    let (key, value) = (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value));
    let entry = committed.index.get(&key);
    let version = entry.and_then(|entry| entry.versions().find(|one| one.mod_revision == revision));
    let version = match version {
        Some(version) => *version,
        None if is_deletion => Version::deleted(revision),
        None => return None,
    };
    let previous = entry.and_then(|entry| entry.before(revision)).copied();
    let previous = previous.filter(|_| revision > committed.compacted);
    Some(Happened::new(key, version, value, previous))
}

/// The same of a write that another store made, which has its numbers in the log.
fn happened_there(committed: &Committed, write: Copied) -> Happened {
    let Copied { key, version, value } = write;
    let (key, value) = (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value));
    let entry = committed.index.get(&key);
    let previous = entry.and_then(|entry| entry.before(version.mod_revision)).copied();
    let previous = previous.filter(|_| version.mod_revision > committed.compacted);
    Happened::new(key, version, value, previous)
}
