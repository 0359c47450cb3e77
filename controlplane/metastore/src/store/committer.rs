//! The thread that makes groups durable, one after the other, and tells everybody who waits. Owns what follows from an engine that does
//! not do as asked: nothing is ever tried again and taken for done.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::upkeep::Snapshot;
use super::{Committed, Group, Sequencer, Store, Waiter};
use crate::engine::{AppendError, Lsn};
use crate::index::Index;
use crate::mvcc::{Entry, Revision};
use crate::refusal::Refusal;

/// Why the committer stopped.
#[derive(Debug)]
pub enum Ended {
    /// Everything that was asked for is durable.
    Closed,
    /// Somebody else writes now, or the engine takes no more. The process must end: what it holds may not be what is there.
    Engine(AppendError),
    /// Somebody panicked in the middle of a change; what is in memory may be half of it.
    Panicked,
}

/// Between two tries at a group that is certainly not in the log.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });
/// With the pauses, longer than any client waits.
const MOST_TRIES: u32 = 100;

/// A group on its way, and the state that it makes durable.
struct Leaving {
    group: Group,
    index: Index<Entry>,
    revision: Revision,
    compacted: Revision,
    /// For a checkpoint, when the group is durable.
    snapshot: Option<Box<Snapshot>>,
}

impl Store {
    /// Runs until the store is closed or the engine fails.
    pub fn commit(&self) -> Ended {
        let _last_word = LastWord(self);
        while let Some(leaving) = self.next() {
            let began = Instant::now();
            if let Err(error) = self.append(&leaving.group) {
                error!(error = %error, "The log takes no more writes: the store stops");
                self.end(leaving.group.waiters, Refusal::TimedOut);
                return Ended::Engine(error);
            }
            self.metrics.appended(began.elapsed(), leaving.group.happenings.len());
            self.publish(leaving);
        }
        if self.sequencer.is_poisoned() {
            error!("A thread panicked in the middle of a change: the store stops");
            self.end(Vec::new(), Refusal::TimedOut);
            return Ended::Panicked;
        }
        Ended::Closed
    }

    /// No write is taken after this; those that are in are made durable.
    pub fn close(&self) {
        let mut sequencer = self.locked();
        sequencer.ended.get_or_insert(Refusal::Stopped);
        sequencer.is_closing = true;
        drop(sequencer);
        self.work.notify_all();
    }

    /// Waits for a group with something in it; the next one begins behind it.
    fn next(&self) -> Option<Leaving> {
        let sequencer = self.locked();
        let is_idle = |sequencer: &mut Sequencer| {
            let is_going_on = !sequencer.is_closing && !self.sequencer.is_poisoned();
            sequencer.group.payload.is_empty() && is_going_on
        };
        let waited = self.work.wait_while(sequencer, is_idle);
        let mut sequencer = waited.unwrap_or_else(PoisonError::into_inner);
        // A record may have been left unfinished: a log with one could never be read again.
        if sequencer.group.payload.is_empty() || self.sequencer.is_poisoned() {
            return None;
        }
        let following = Group::new(sequencer.group.end());
        let group = std::mem::replace(&mut sequencer.group, following);
        sequencer.is_writing = true;
        let wants = std::mem::take(&mut sequencer.wants_snapshot);
        let snapshot = wants.then(|| Box::new(sequencer.snapshot(sequencer.group.at)));
        Some(Leaving {
            group,
            index: sequencer.state.index.clone(),
            revision: sequencer.state.revision,
            compacted: sequencer.state.compacted,
            snapshot,
        })
    }

    /// Durable when it returns.
    fn append(&self, group: &Group) -> Result<(), AppendError> {
        let mut n_tries = 0;
        loop {
            let error = match self.engine.append(self.epoch, group.at, &[&group.payload]) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            n_tries += 1;
            match error {
                AppendError::NotWritten { source } if n_tries < MOST_TRIES => {
                    warn!(error = %source, n_tries, "A group is not written and is tried again");
                    std::thread::sleep(PAUSE);
                }
                AppendError::Uncertain { source } if n_tries < MOST_TRIES => {
                    warn!(error = %source, n_tries, "Whether a group is written is looked up");
                    if self.is_in_log(group)? {
                        return Ok(());
                    }
                    std::thread::sleep(PAUSE);
                }
                error => return Err(error),
            }
        }
    }

    /// Not by the length of the log: another writer may have put as much there.
    fn is_in_log(&self, group: &Group) -> Result<bool, AppendError> {
        let head = self.engine.size().head;
        if head == group.at {
            return Ok(false);
        }
        let found = self.engine.groups(group.at).ok();
        let found = found.and_then(|mut groups| groups.next()).and_then(Result::ok);
        let is_it = found.is_some_and(|found| {
            found.at == group.at && found.epoch == self.epoch && found.payload == group.payload
        });
        if is_it { Ok(true) } else { Err(AppendError::Gap { expected: head, at: group.at }) }
    }

    fn publish(&self, leaving: Leaving) {
        let Leaving { group, index, revision, compacted, snapshot } = leaving;
        let pin = self.engine.pin();
        let committed = Arc::new(Committed { index, revision, compacted, pin: pin.clone() });
        // Dropped late: a whole tree may go with it.
        let mut before = committed;
        let swap = || {
            let mut place = self.committed.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut *place, &mut before);
        };
        self.hub.publish_with(revision, &group.happenings, swap);
        let at = group.at;
        let waiting = {
            let mut sequencer = self.locked();
            sequencer.durable = revision;
            sequencer.is_writing = false;
            sequencer.pin = pin;
            if snapshot.is_some() {
                sequencer.taken = snapshot;
            }
            sequencer.remember(revision, at, group.happenings.len());
            std::mem::take(&mut sequencer.waiting)
        };
        for waiter in group.waiters.into_iter().chain(waiting) {
            // Who gave up does not care.
            let _ = waiter.send(Ok(()));
        }
        drop(before);
    }

    /// Nobody is told that his write is not there: it may be.
    fn end(&self, waiters: Vec<Waiter>, refusal: Refusal) {
        let mut sequencer = self.locked();
        sequencer.ended = Some(refusal);
        sequencer.is_writing = false;
        let waiting = std::mem::take(&mut sequencer.waiting);
        let forming = std::mem::take(&mut sequencer.group.waiters);
        drop(sequencer);
        self.hub.end();
        for waiter in waiters.into_iter().chain(waiting).chain(forming) {
            let _ = waiter.send(Err(refusal));
        }
    }
}

/// Whoever waits hears of a committer that panics.
struct LastWord<'a>(&'a Store);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end(Vec::new(), Refusal::TimedOut);
        }
    }
}

/// So much of the log may have to be read to find one revision.
const REMEMBER_EVERY_BYTES: u64 = 256 << 10;

impl Sequencer {
    fn remember(&mut self, revision: Revision, at: Lsn, n_happenings: usize) {
        let first = revision + 1 - i64::try_from(n_happenings).unwrap_or_default();
        if n_happenings > 0 {
            remember(&mut self.groups, first, at);
        }
    }
}

/// Not every group: one is found by reading on from the one before.
pub(super) fn remember(groups: &mut VecDeque<(Revision, Lsn)>, first: Revision, at: Lsn) {
    let is_far = |(_, last): &(Revision, Lsn)| at.0 - last.0 >= REMEMBER_EVERY_BYTES;
    if groups.back().is_none_or(is_far) {
        groups.push_back((first, at));
    }
}
