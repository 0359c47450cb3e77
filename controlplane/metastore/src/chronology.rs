//! All versions that are kept, in the order in which they were written: how etcd keeps its keys, how it hashes them, and how a store is
//! copied. Pure; values are read by whoever wants them.
//!
//! Problem: the index has the order of keys. Sorting everything would take as much memory as the index itself.
//!
//! Approach: a part at a time. One walk over the index finds the least versions behind those that were handed over, as many as fit into a
//! part, with a heap that gives up the greatest. A part is a sixteenth of all, so there are about sixteen walks, and a part takes about
//! six bytes for each version of the store.
//!
//! Limits: logs from before versions said which write of their transaction they are have it unknown; such writes are in the order of their
//! keys.

use std::collections::BinaryHeap;

use bytes::Bytes;

use crate::index::{Index, KeyRange};
use crate::mvcc::{Entry, Revision, Version};

/// So many versions at once at least.
const LEAST_IN_PART: usize = 64 << 10;
const PARTS: usize = 16;

/// One version of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub key: Bytes,
    pub version: Version,
}

/// What is kept of a store, seen at a revision.
#[derive(Clone, Copy, Debug)]
pub struct Chronology<'a> {
    index: &'a Index<Entry>,
    at: Revision,
    compacted: Revision,
    in_part: usize,
}

/// Where a version is in the order. No two are equal: a transaction writes a key once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    revision: Revision,
    sub: u32,
    key: Bytes,
}

impl<'a> Chronology<'a> {
    pub fn new(index: &'a Index<Entry>, at: Revision, compacted: Revision) -> Chronology<'a> {
        let mut chronology = Chronology { index, at, compacted, in_part: usize::MAX };
        let n_versions: usize = chronology.entries().map(|(_, n)| n).sum();
        chronology.in_part = (n_versions / PARTS).max(LEAST_IN_PART);
        chronology
    }

    /// Each version once, oldest first, with numbers of writes that are different within a transaction.
    pub fn iter(&self) -> impl Iterator<Item = Kept> + use<'a> {
        let chronology = *self;
        let mut last: Option<Turn> = None;
        let parts = std::iter::from_fn(move || {
            let part = chronology.part(last.as_ref());
            last = Some(part.last()?.turn.clone());
            Some(part)
        });
        let mut before: Option<(Revision, u32)> = None;
        parts.flatten().map(move |Ranked { turn, mut version }| {
            let sub = match before {
                Some((revision, sub)) if revision == turn.revision && turn.sub <= sub => sub + 1,
                _ => turn.sub,
            };
            before = Some((turn.revision, sub));
            version.place.sub = sub;
            Kept { key: turn.key, version }
        })
    }

    /// The first ones behind `last`, in order.
    fn part(&self, last: Option<&Turn>) -> Vec<Ranked> {
        let mut heap = BinaryHeap::new();
        for (key, entry) in self.index.range(&KeyRange::all()) {
            for version in self.kept(entry) {
                let (revision, sub) = (version.mod_revision, version.place.sub);
                let is_later = |turn: &Turn| {
                    (turn.revision, turn.sub, &turn.key[..]) < (revision, sub, &key[..])
                };
                let is_over = last.is_some_and(|last| !is_later(last));
                let is_full = heap.len() == self.in_part;
                if is_over || is_full && heap.peek().is_some_and(|top: &Ranked| is_later(&top.turn))
                {
                    continue;
                }
                let turn = Turn { revision, sub, key: key.to_bytes() };
                heap.push(Ranked { turn, version: *version });
                if heap.len() > self.in_part {
                    heap.pop();
                }
            }
        }
        heap.into_sorted_vec()
    }

    fn kept(&self, entry: &'a Entry) -> impl Iterator<Item = &'a Version> + use<'a> {
        let at = self.at;
        let is_there = move |version: &&Version| version.mod_revision <= at;
        entry.kept(self.compacted).filter(is_there)
    }

    fn entries(&self) -> impl Iterator<Item = (&'a Entry, usize)> {
        let all = self.index.range(&KeyRange::all());
        all.map(|(_, entry)| (entry, self.kept(entry).count()))
    }
}

#[derive(Clone, Debug)]
struct Ranked {
    turn: Turn,
    version: Version,
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.turn == other.turn
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> std::cmp::Ordering {
        self.turn.cmp(&other.turn)
    }
}

#[cfg(test)]
mod tests;
