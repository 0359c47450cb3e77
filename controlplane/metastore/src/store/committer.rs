//! The thread that makes groups durable, one after the other, and tells everybody who waits. Owns what follows from an engine that does
//! not do as asked: nothing is ever tried again and taken for done.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::deferral::SYNC_WITHIN;
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

/// What the committer does next.
enum Turn {
    Group(Leaving),
    /// Nothing else came in time, or too much: what was deferred is made durable.
    Sync,
    Over,
}

/// What a power cut may take.
enum Outstanding {
    Nothing,
    Deferred,
}

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
        let mut sync_by = None;
        loop {
            let done = match self.next(sync_by) {
                Turn::Over => break,
                Turn::Sync => self.sync(),
                Turn::Group(leaving) => self.write_group(leaving),
            };
            match done {
                Ok(Outstanding::Nothing) => sync_by = None,
                Ok(Outstanding::Deferred) => {
                    sync_by.get_or_insert_with(|| Instant::now() + SYNC_WITHIN);
                }
                Err(error) => return Ended::Engine(error),
            }
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
        sequencer.settle();
        drop(sequencer);
        self.work.notify_all();
    }

    /// Waits for a group with something in it, the next one begins behind it; or for the time to sync.
    fn next(&self, sync_by: Option<Instant>) -> Turn {
        let mut sequencer = self.idle(sync_by);
        // A record may have been left unfinished: a log with one could never be read again.
        if self.sequencer.is_poisoned() {
            return Turn::Over;
        }
        // What is to be synced itself takes the rest along.
        let is_due = sync_by.is_some_and(|by| by <= Instant::now());
        if is_due && sequencer.group.is_deferred() {
            return Turn::Sync;
        }
        if sequencer.group.payload.is_empty() {
            return Turn::Over;
        }
        let following = Group::new(sequencer.group.end());
        let group = std::mem::replace(&mut sequencer.group, following);
        sequencer.is_writing = true;
        let wants = std::mem::take(&mut sequencer.wants_snapshot);
        let snapshot = wants.then(|| Box::new(sequencer.snapshot(sequencer.group.at)));
        Turn::Group(Leaving {
            group,
            index: sequencer.state.index.clone(),
            revision: sequencer.state.revision,
            compacted: sequencer.state.compacted,
            snapshot,
        })
    }

    /// Until there is something to do.
    fn idle(&self, sync_by: Option<Instant>) -> MutexGuard<'_, Sequencer> {
        let sequencer = self.locked();
        let is_idle = |sequencer: &mut Sequencer| {
            let is_going_on = !sequencer.is_closing && !self.sequencer.is_poisoned();
            sequencer.group.payload.is_empty() && is_going_on
        };
        let Some(by) = sync_by else {
            let waited = self.work.wait_while(sequencer, is_idle);
            return waited.unwrap_or_else(PoisonError::into_inner);
        };
        let left = by.saturating_duration_since(Instant::now());
        let waited = self.work.wait_timeout_while(sequencer, left, is_idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn write_group(&self, leaving: Leaving) -> Result<Outstanding, AppendError> {
        let (began, is_deferred) = (Instant::now(), leaving.group.is_deferred());
        if let Err(error) = self.append(&leaving.group) {
            return Err(self.over(error, leaving.group.waiters));
        }
        let took = (!is_deferred).then(|| began.elapsed());
        self.metrics.appended(took, leaving.group.happenings.len());
        self.publish(leaving);
        Ok(if is_deferred { Outstanding::Deferred } else { Outstanding::Nothing })
    }

    fn sync(&self) -> Result<Outstanding, AppendError> {
        let synced = self.engine.sync();
        synced.map_err(|error| self.over(error, Vec::new()))?;
        Ok(Outstanding::Nothing)
    }

    fn over(&self, error: AppendError, waiters: Vec<Waiter>) -> AppendError {
        error!(%error, "The log takes no more writes: the store stops");
        self.end(waiters, Refusal::TimedOut);
        error
    }

    /// Durable when it returns, if it is not to be deferred.
    fn append(&self, group: &Group) -> Result<(), AppendError> {
        let mut n_tries = 0;
        loop {
            let payload = [&group.payload[..]];
            let done = match group.is_deferred() {
                true => self.engine.append_deferred(self.epoch, group.at, &payload),
                false => self.engine.append(self.epoch, group.at, &payload),
            };
            let error = match done {
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
        sequencer.has_no_committer = true;
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
