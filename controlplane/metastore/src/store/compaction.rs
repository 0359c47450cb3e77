//! Forgetting: what a client has declared forgotten goes from the index, a little at a time, so that no writer waits for it.

use std::time::{Duration, Instant};

use super::{Durable, Sequencer, Store};
use crate::mvcc::{Entry, Revision};
use crate::record;
use crate::refusal::Refusal;
use crate::state::{State, bytes_of};

/// Keys that are looked at while the lock is held: a quarter of a millisecond where nothing of them is in the CPU's cache.
const KEYS_AT_ONCE: usize = 32;
/// So often, and then clients and the log have the CPU for a while.
const TURNS: usize = 2;
/// So many times as long as the turns took, so that forgetting has a quarter of a core at most: a store on one core would else do little
/// but forget, and writers wait. A write costs several times what forgetting it does, so that this keeps up with them.
const PAUSE_FOR_TURNS: u32 = 3;
/// What timers can do.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

impl Store {
    /// Nobody can ask for what was before `revision` any more, as soon as this has returned.
    pub async fn compact(&self, revision: Revision) -> Result<Revision, Refusal> {
        let (newest, durable) = self.begin_compact(revision)?;
        durable.wait().await?;
        newest
    }

    fn begin_compact(
        &self,
        revision: Revision,
    ) -> Result<(Result<Revision, Refusal>, Durable), Refusal> {
        let mut sequencer = self.sequencer()?;
        let newest = sequencer.state.compact(revision);
        if newest.is_ok() {
            record::compacted(&mut sequencer.group.payload, revision);
        }
        let durable = sequencer.durable();
        self.wake(sequencer);
        Ok((newest, durable))
    }

    /// Forgets a part of what may be forgotten, and pauses; whether there is more. Several at a time take turns.
    pub async fn forget_a_part(&self) -> Result<bool, Refusal> {
        let _turn = self.forgetting.lock().await;
        let began = Instant::now();
        for _ in 0..TURNS {
            if !self.forget_some()? {
                return Ok(false);
            }
        }
        tokio::time::sleep(LEAST_PAUSE.max(PAUSE_FOR_TURNS * began.elapsed())).await;
        Ok(true)
    }

    /// Forgets some of what may be forgotten; whether there is more.
    pub fn forget_some(&self) -> Result<bool, Refusal> {
        let mut sequencer = self.sequencer()?;
        for _ in 0..KEYS_AT_ONCE {
            if !sequencer.forget_one() {
                return Ok(false);
            }
            self.metrics.forgot_one();
        }
        Ok(true)
    }
}

impl State {
    /// Returns the newest revision.
    fn compact(&mut self, revision: Revision) -> Result<Revision, Refusal> {
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        self.compacted = revision;
        Ok(self.revision)
    }
}

impl Sequencer {
    /// Whether everything is gone that may be.
    pub(super) fn has_forgotten(&self) -> bool {
        let compacted = self.state.compacted;
        self.superseded.first().is_none_or(|revision| revision > compacted)
    }

    fn forget_one(&mut self) -> bool {
        let compacted = self.state.compacted;
        while self.groups.get(1).is_some_and(|(first, _)| *first <= compacted) {
            self.groups.pop_front();
        }
        let Some(key) = self.superseded.take(compacted) else { return false };
        self.forget(&key, compacted);
        true
    }

    fn forget(&mut self, key: &[u8], compacted: Revision) {
        let index = &mut self.state.index;
        let Some(entry) = index.get(key) else { return };
        let bytes = |entry: &Entry| entry.versions().map(|one| bytes_of(key, one)).sum::<u64>();
        let left = entry.compact(compacted);
        let gone = bytes(entry) - left.as_ref().map_or(0, bytes);
        self.state.version_bytes -= gone;
        match left {
            None => drop(index.remove(key)),
            Some(left) => drop(index.update(key, |entry| *entry = left)),
        }
    }
}
