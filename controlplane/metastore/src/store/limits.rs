//! Limits of a store: its quota, the room of its disk and what a policy says of prefixes, kept beside the state under the same lock, so
//! that no write slips in between. Owns when an alarm is raised and taken back; what is too much is decided by `alarm` and `policy`.

use thiserror::Error;
use tracing::{info, warn};

use super::{Durable, Sequencer, Store};
use crate::alarm::{self, Cause, Room};
use crate::happening::Happening;
use crate::mvcc::View;
use crate::policy::{Enforced, Exceeded, PrefixLimit};
use crate::record;
use crate::refusal::Refusal;

/// Why a write is not done.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Denial {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
}

#[derive(Debug, Default)]
pub(super) struct Limits {
    quota_bytes: u64,
    least_free_bytes: u64,
    free_bytes: Option<u64>,
    pub(super) enforced: Option<Enforced>,
    /// Of the next policy, while the keys that were there before it are counted.
    next: Option<Enforced>,
}

impl Limits {
    pub(super) fn note(&mut self, happening: &Happening) {
        for enforced in [&mut self.enforced, &mut self.next].into_iter().flatten() {
            enforced.note(happening);
        }
    }
}

impl Store {
    /// 0 for no quota.
    pub fn set_room(&self, quota_bytes: u64, least_free_bytes: u64) {
        let mut sequencer = self.locked();
        sequencer.limits.quota_bytes = quota_bytes;
        sequencer.limits.least_free_bytes = least_free_bytes;
    }

    pub fn room(&self) -> Room {
        self.locked().room()
    }

    /// Why alarm NOSPACE is raised, if it is.
    pub fn no_space(&self) -> Option<Cause> {
        self.locked().state.no_space
    }

    /// To be called every now and then, with what the disk has: raises the alarm before the log finds no room, and takes one back that is
    /// over.
    pub fn look_at_room(&self, free_bytes: Option<u64>) {
        let mut sequencer = self.locked();
        sequencer.limits.free_bytes = free_bytes;
        if sequencer.ended.is_some() {
            return;
        }
        let room = sequencer.room();
        match sequencer.state.no_space {
            None if room.is_disk_full() => sequencer.set_alarm(Some(Cause::Disk)),
            Some(cause) if room.is_over(cause) => sequencer.set_alarm(None),
            None | Some(_) => return,
        }
        self.wake(sequencer);
    }

    /// As a client asks for it.
    pub async fn raise_no_space(&self) -> Result<(), Refusal> {
        self.change_alarm(Some(Cause::Client))?.wait().await
    }

    /// Whether it was raised.
    pub async fn disarm(&self) -> Result<bool, Refusal> {
        let was_raised = self.no_space().is_some();
        self.change_alarm(None)?.wait().await?;
        Ok(was_raised)
    }

    fn change_alarm(&self, cause: Option<Cause>) -> Result<Durable, Refusal> {
        let mut sequencer = self.sequencer()?;
        if sequencer.state.no_space != cause {
            sequencer.set_alarm(cause);
        }
        let durable = sequencer.durable();
        self.wake(sequencer);
        Ok(durable)
    }

    /// Prefixes with what lies under each: bytes and keys.
    pub fn used_of_prefixes(&self) -> Vec<(String, i64, i64)> {
        let sequencer = self.locked();
        let used = sequencer.limits.enforced.iter().flat_map(Enforced::used);
        used.map(|(prefix, used)| (prefix.to_owned(), used.bytes, used.keys)).collect()
    }

    /// The keys that are there are counted without the lock, while what is written meanwhile is noted beside it.
    pub fn set_prefix_limits(&self, limits: Vec<PrefixLimit>) {
        let n_prefixes = limits.len();
        if n_prefixes == 0 {
            let mut sequencer = self.locked();
            (sequencer.limits.enforced, sequencer.limits.next) = (None, None);
            return;
        }
        let next = Enforced::new(limits, self.now());
        let prefixes = next.prefixes().clone();
        let (index, revision) = {
            let mut sequencer = self.locked();
            sequencer.limits.next = Some(next);
            (sequencer.state.index.clone(), sequencer.state.revision)
        };
        let view = View { index: &index, revision, is_newest: true };
        let counted = Enforced::count(&prefixes, n_prefixes, &view);
        let mut sequencer = self.locked();
        if let Some(mut next) = sequencer.limits.next.take() {
            next.add(&counted);
            sequencer.limits.enforced = Some(next);
        }
    }
}

impl Sequencer {
    fn room(&self) -> Room {
        let Limits { quota_bytes, least_free_bytes, free_bytes, .. } = self.limits;
        let live_bytes = self.state.live_bytes();
        Room { live_bytes, quota_bytes, free_bytes, least_free_bytes }
    }

    /// Raises the alarm where there is no room for so much more.
    pub(super) fn find_room(&mut self, cost_bytes: u64) -> Result<(), Refusal> {
        if cost_bytes == 0 {
            return Ok(());
        }
        if self.state.no_space.is_some() {
            return Err(Refusal::NoSpace);
        }
        match self.room().lack(cost_bytes) {
            None => Ok(()),
            cause => {
                self.set_alarm(cause);
                Err(Refusal::NoSpace)
            }
        }
    }

    fn set_alarm(&mut self, cause: Option<Cause>) {
        let Room { live_bytes, quota_bytes, free_bytes, least_free_bytes } = self.room();
        match cause {
            Some(cause) => warn!(
                ?cause,
                live_bytes,
                quota_bytes,
                ?free_bytes,
                least_free_bytes,
                "Alarm NOSPACE: only what makes room is done"
            ),
            None => info!(live_bytes, quota_bytes, ?free_bytes, "Alarm NOSPACE is over"),
        }
        self.state.no_space = cause;
        record::alarm(&mut self.group.payload, alarm::number(cause));
    }
}
