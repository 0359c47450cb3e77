//! The newest transactions in memory, for watchers and for values that are not durable yet. Owns how many are kept; what they say is
//! `happening`'s.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::happening::Happening;
use crate::mvcc::{Revision, Version};

/// Neighbouring revisions, so that one is found by counting.
#[derive(Debug)]
pub struct Recent {
    happenings: VecDeque<Arc<Happening>>,
    bytes: usize,
    most_bytes: usize,
}

impl Recent {
    pub fn new(most_bytes: usize) -> Recent {
        Recent { happenings: VecDeque::new(), bytes: 0, most_bytes }
    }

    /// The next revision. Those after `durable` are never given up, because nobody could read them anywhere else.
    pub fn push(&mut self, happening: Arc<Happening>, durable: Revision) {
        self.bytes += happening.bytes();
        self.happenings.push_back(happening);
        while self.bytes > self.most_bytes
            && self.first().is_some_and(|first| first <= durable)
            && let Some(gone) = self.happenings.pop_front()
        {
            self.bytes -= gone.bytes();
        }
    }

    pub fn first(&self) -> Option<Revision> {
        self.happenings.front().map(|happening| happening.revision)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn at(&self, revision: Revision) -> Option<&Arc<Happening>> {
        let nth = usize::try_from(revision - self.first()?).ok()?;
        self.happenings.get(nth)
    }

    /// Those from a revision on, if none of them is gone.
    pub fn from(&self, revision: Revision) -> Option<impl Iterator<Item = &Arc<Happening>>> {
        let nth = usize::try_from(revision - self.first()?).ok()?;
        Some(self.happenings.range(nth.min(self.happenings.len())..))
    }

    pub fn value(&self, key: &[u8], version: &Version) -> Option<Bytes> {
        let happening = self.at(version.mod_revision)?;
        let event = happening.events.iter().find(|event| *event.key == *key)?;
        Some(event.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::happening::Happened;
    use crate::mvcc::Place;

    fn happening(revision: Revision, value: &str) -> Arc<Happening> {
        let place = Place { lsn: 0, length: 3, sub: 0 };
        let version =
            Version { mod_revision: revision, create_revision: 1, number: 1, lease: 0, place };
        let value = Bytes::from(value.to_owned());
        let event = Happened::new(Bytes::from("key"), version, value, None);
        Arc::new(Happening { revision, events: vec![event] })
    }

    #[test]
    fn what_is_not_durable_stays_whatever_it_takes() {
        let one = happening(2, "abc").bytes();
        let mut recent = Recent::new(2 * one);
        (2..6).for_each(|revision| recent.push(happening(revision, "abc"), 1));
        assert_eq!((recent.first(), recent.bytes()), (Some(2), 4 * one));
        recent.push(happening(6, "xyz"), 3);
        assert_eq!(recent.first(), Some(4));
        recent.push(happening(7, "abc"), 6);
        assert_eq!((recent.first(), recent.bytes()), (Some(6), 2 * one));
        let version = recent.at(6).unwrap().events[0].version;
        assert_eq!(recent.value(b"key", &version).as_deref(), Some(b"xyz".as_slice()));
        assert_eq!(recent.value(b"other", &version), None);
        assert!(recent.at(5).is_none() && recent.at(8).is_none());
        let from =
            |revision| recent.from(revision).map(|found| found.map(|one| one.revision).collect());
        assert_eq!(from(5), None::<Vec<_>>);
        assert_eq!(from(7), Some(vec![7]));
        assert_eq!(from(8), Some(vec![]));
    }
}
