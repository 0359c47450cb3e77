//! What keeps a log from growing for ever: checkpoints, so that a start need not read it all, and room that is given back when most of its
//! oldest part is forgotten. Owns when; runs on a thread of its own, beside the writers.
//!
//! Room is given back from the oldest end. What still lives there is written again at the newest end first, a little at a time, and the old
//! part goes when two checkpoints do not need it any more.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tracing::{debug, error, info};

use super::{Sequencer, Store};
use crate::checkpoint::{self, Checkpoint};
use crate::engine::{EngineError, Lsn, ReadError};
use crate::index::{Index, KeyRange};
use crate::mvcc::{Entry, Place, Revision, Version};
use crate::record;

/// At least so much of the log lies behind a checkpoint before the next one is written, and at least so many times what a checkpoint takes:
/// while a store grows, a checkpoint costs a third of what its log does, and a start reads four checkpoints' worth at most.
const CHECKPOINT_EVERY_BYTES: u64 = 64 << 20;
const CHECKPOINT_EVERY_CHECKPOINTS: u64 = 3;
/// Below this nothing is given back.
const LEAST_BYTES: u64 = 128 << 20;
/// The grain in which it is counted what lives where.
const GRAIN_BYTES: u64 = 4 << 20;
/// Written again in one group, so that nobody's write waits long for the lock.
const MOVED_BYTES: usize = 32 << 10;
/// Between two of them, because the disk is the writers' first.
const MOVE_EVERY: Duration = Duration::from_micros(500);
/// Written again at once where the disk is full: what is kept free is twice the room of a file of the log.
const MOST_MOVED_BYTES: u64 = 64 << 20;
/// What is vacated goes when the second checkpoint after it is there.
const PRESSED_LOOKS: u8 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Error)]
enum UpkeepError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What was done already.
#[derive(Debug, Default)]
struct Kept {
    checkpoint_at: Lsn,
    checkpoint_bytes: u64,
    /// Nothing that lives is before it.
    vacated: Lsn,
    /// Looks that do not wait for the log to grow, because there is no room.
    looks_due: u8,
    /// The compaction that they were for.
    pressed_at: Revision,
}

/// How many bytes of values live in each grain of the log.
type Living = BTreeMap<u64, u64>;

impl Store {
    /// Until `is_over`.
    pub fn keep_up(&self, is_over: &AtomicBool) {
        let mut kept = Kept { checkpoint_at: self.opened_from, ..Kept::default() };
        while !is_over.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK_EVERY);
            if let Err(error) = self.look(&mut kept, is_over) {
                self.metrics.health.upkeep_failed();
                error!(%error, "The log cannot be tidied up; it grows until it can");
                std::thread::sleep(20 * LOOK_EVERY);
            }
        }
    }

    /// Writes a checkpoint now.
    pub fn checkpoint(&self) -> Result<(), EngineError> {
        self.write_checkpoint(&AtomicBool::new(false)).map(drop)
    }

    fn look(&self, kept: &mut Kept, is_over: &AtomicBool) -> Result<(), UpkeepError> {
        let size = self.engine.size();
        let since = size.head.0.saturating_sub(kept.checkpoint_at.0);
        self.metrics.health.behind_checkpoint(since);
        let every =
            CHECKPOINT_EVERY_BYTES.max(CHECKPOINT_EVERY_CHECKPOINTS * kept.checkpoint_bytes);
        let is_grown = since >= every;
        if !self.is_pressed(kept) && !is_grown {
            return Ok(());
        }
        let Some((at, bytes, living)) = self.write_checkpoint(is_over)? else { return Ok(()) };
        debug!(at = at.0, bytes, "A checkpoint is written");
        (kept.checkpoint_at, kept.checkpoint_bytes) = (at, bytes);
        self.engine.trim(kept.vacated)?;
        let limit = self.streamed_from();
        let oldest = self.engine.size().oldest;
        let until = to_vacate(&living, (oldest, at), limit);
        let until = until.filter(|until| kept.vacated != *until);
        let is_full = self.room().is_disk_full();
        let until =
            until.map(|until| if is_full { affordable(&living, oldest, until) } else { until });
        if let Some(until) = until {
            let n_moved = self.vacate(until, is_over)?;
            info!(n_moved, until = until.0, "Room of the log is given back");
            kept.vacated = until;
            kept.looks_due = if kept.looks_due > 0 || is_full { PRESSED_LOOKS } else { 0 };
        }
        Ok(())
    }

    /// Whether room is to be given back at once: somebody asks for it, or there is none and a compaction has made some.
    fn is_pressed(&self, kept: &mut Kept) -> bool {
        let is_asked = self.wants_room.swap(false, Ordering::Relaxed);
        let sequencer = self.locked();
        let compacted = sequencer.state.compacted;
        let has_forgotten = sequencer.has_forgotten();
        let is_raised = sequencer.state.no_space.is_some();
        drop(sequencer);
        if is_asked || (is_raised && has_forgotten && kept.pressed_at != compacted) {
            (kept.looks_due, kept.pressed_at) = (PRESSED_LOOKS, compacted);
        }
        let is_pressed = kept.looks_due > 0;
        kept.looks_due = kept.looks_due.saturating_sub(1);
        is_pressed
    }

    /// The next look gives room back, however little it is.
    pub fn ask_for_room(&self) {
        self.wants_room.store(true, Ordering::Relaxed);
    }

    /// Where the oldest revision lies that somebody may still watch from.
    fn streamed_from(&self) -> Lsn {
        let sequencer = self.locked();
        sequencer.groups.front().map_or(sequencer.group.at, |(_, at)| *at)
    }

    /// `None` where nobody waits for it any more, or the store has ended.
    fn write_checkpoint(
        &self,
        is_over: &AtomicBool,
    ) -> Result<Option<(Lsn, u64, Living)>, EngineError> {
        let Some(snapshot) = self.snapshot(is_over) else { return Ok(None) };
        let mut bytes = 0;
        self.engine.write_checkpoint(snapshot.at, &mut |out| {
            let mut counted = Counted { out, bytes: 0 };
            checkpoint::write(&snapshot.checkpoint, &mut counted)?;
            bytes = counted.bytes;
            Ok(())
        })?;
        Ok(Some((snapshot.at, bytes, living(&snapshot.checkpoint.state.index))))
    }

    fn snapshot(&self, is_over: &AtomicBool) -> Option<Snapshot> {
        loop {
            let taken = {
                let mut sequencer = self.locked();
                let is_quiet = sequencer.group.payload.is_empty() && !sequencer.is_writing;
                if is_quiet {
                    return Some(sequencer.snapshot(sequencer.group.at));
                }
                if sequencer.has_no_committer {
                    return None;
                }
                sequencer.wants_snapshot = true;
                sequencer.taken.take()
            };
            match taken {
                Some(snapshot) => return Some(*snapshot),
                None if is_over.load(Ordering::Relaxed) => return None,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Writes what lives before `until` again; how many values those were.
    fn vacate(&self, until: Lsn, is_over: &AtomicBool) -> Result<u64, UpkeepError> {
        let committed = self.committed();
        let mut n_moved = 0;
        let mut some: Vec<(Bytes, Version)> = Vec::new();
        let mut bytes = 0;
        for (key, entry) in committed.index.range(&KeyRange::all()) {
            for version in entry.versions().filter(|version| lives_before(version, until)) {
                bytes += key.len() + version.place.length as usize;
                some.push((Bytes::copy_from_slice(&key), *version));
            }
            if bytes >= MOVED_BYTES {
                n_moved += self.write_again(&std::mem::take(&mut some))?;
                bytes = 0;
            }
            if is_over.load(Ordering::Relaxed) {
                return Ok(n_moved);
            }
        }
        Ok(n_moved + self.write_again(&some)?)
    }

    fn write_again(&self, some: &[(Bytes, Version)]) -> Result<u64, UpkeepError> {
        let mut values = Vec::with_capacity(some.len());
        for (_, version) in some {
            let Place { lsn, length, .. } = version.place;
            values.push(self.engine.read(Lsn(lsn), length as usize)?);
        }
        let mut n_moved = 0;
        let mut sequencer = self.locked();
        if sequencer.ended.is_some() {
            return Ok(0);
        }
        for ((key, version), value) in some.iter().zip(&values) {
            n_moved += u64::from(sequencer.write_again(key, version, value));
        }
        self.wake(sequencer);
        std::thread::sleep(MOVE_EVERY);
        Ok(n_moved)
    }
}

/// A state that everything before `at` has made.
#[derive(Debug)]
pub(super) struct Snapshot {
    at: Lsn,
    checkpoint: Checkpoint,
}

impl Sequencer {
    pub(super) fn snapshot(&self, at: Lsn) -> Snapshot {
        let groups = self.groups.iter().map(|(revision, at)| (*revision, at.0)).collect();
        Snapshot { at, checkpoint: Checkpoint { state: self.state.clone(), groups } }
    }

    /// False where the version is forgotten, or lies elsewhere already.
    fn write_again(&mut self, key: &Bytes, version: &Version, value: &[u8]) -> bool {
        let is_there = self.state.index.get(key).is_some_and(|entry| {
            let same = |one: &Version| one.place == version.place;
            entry.versions().any(|one| one.mod_revision == version.mod_revision && same(one))
        });
        if !is_there {
            return false;
        }
        let payload_lsn = self.group.payload_lsn();
        let at = record::moved(&mut self.group.payload, key, version, value);
        let place = Place { lsn: payload_lsn + at as u64, ..version.place };
        let moved = |entry: &mut Entry| entry.relocate(version.mod_revision, place);
        self.state.index.update(key, moved).unwrap_or_default()
    }
}

fn lives_before(version: &Version, until: Lsn) -> bool {
    version.place.length > 0 && version.place.lsn < until.0
}

fn living(index: &Index<Entry>) -> Living {
    let mut living = Living::new();
    for (key, entry) in index.range(&KeyRange::all()) {
        for version in entry.versions().filter(|version| version.place.length > 0) {
            let bytes = key.len() as u64 + u64::from(version.place.length);
            *living.entry(version.place.lsn / GRAIN_BYTES).or_default() += bytes;
        }
    }
    living
}

/// Up to where the oldest part of the log is worth giving back: the longest part of which less than half lives, where the whole log is
/// more than half dead. Nothing after `limit`, which somebody may still read in the order of the log.
fn to_vacate(living: &Living, (oldest, newest): (Lsn, Lsn), limit: Lsn) -> Option<Lsn> {
    let used = newest.0.saturating_sub(oldest.0);
    let all: u64 = living.values().sum();
    if used < LEAST_BYTES || all > used / 2 {
        return None;
    }
    let last = newest.min(limit);
    let mut lives = 0;
    let mut until = None;
    for grain in oldest.0 / GRAIN_BYTES..last.0 / GRAIN_BYTES {
        lives += living.get(&grain).copied().unwrap_or_default();
        let end = (grain + 1) * GRAIN_BYTES;
        if lives < (end - oldest.0) / 2 {
            until = Some(Lsn(end));
        }
    }
    until.filter(|until| until.0 - oldest.0 >= CHECKPOINT_EVERY_BYTES)
}

/// As much of what is worth giving back as can be written again first, where there is hardly any room.
fn affordable(living: &Living, oldest: Lsn, until: Lsn) -> Lsn {
    let mut moved = 0;
    for grain in oldest.0 / GRAIN_BYTES..until.0 / GRAIN_BYTES {
        moved += living.get(&grain).copied().unwrap_or_default();
        if moved > MOST_MOVED_BYTES {
            return Lsn(grain * GRAIN_BYTES).max(oldest);
        }
    }
    until
}

struct Counted<'a> {
    out: &'a mut dyn io::Write,
    bytes: u64,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
