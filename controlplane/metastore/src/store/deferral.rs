//! Asynchronous commit: transactions that touch nothing but keys under certain prefixes (events of Kubernetes) are answered when the kernel
//! has them, and synced soon after. A process that is killed loses nothing; a power cut loses the last ones, and never gives a revision
//! twice (`reserve`). Owns which ones; their order among all others is as ever.

use std::time::Duration;

use bytes::Bytes;

use super::{Sequencer, Store};
use crate::happening::Happening;
use crate::record;
use crate::reserve::Reserve;

/// Deferred groups are durable so much later at most, if the disk keeps up. As long as Redis' `appendfsync everysec`, which operators know.
pub(super) const SYNC_WITHIN: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });

impl Store {
    /// From the next transaction on. None makes every transaction wait for its sync.
    pub fn set_deferred_prefixes(&self, prefixes: Vec<Bytes>) {
        self.locked().deferred_prefixes = prefixes;
    }
}

impl Sequencer {
    /// Lets the transaction that was just written be deferred, if it may be. The first one, whose revision is not reserved, is not: the
    /// record of the reserve must be durable first.
    pub(super) fn defer(&mut self, begun_at: usize, happening: Option<&Happening>) {
        let Some(happening) = happening.filter(|one| self.may_be_lost(one)) else { return };
        let is_reserved =
            |reserve: Reserve| reserve.boot == self.boot && reserve.covers(happening.revision);
        if self.state.reserve.is_some_and(is_reserved) {
            self.group.deferred_bytes += self.group.payload.len() - begun_at;
        } else {
            self.reserve(Reserve::from(happening.revision, self.boot));
        }
    }

    fn may_be_lost(&self, happening: &Happening) -> bool {
        let is_deferred =
            |key: &Bytes| self.deferred_prefixes.iter().any(|prefix| key.starts_with(prefix));
        !self.deferred_prefixes.is_empty()
            && happening.events.iter().all(|event| is_deferred(&event.key))
    }

    /// At a clean end: nothing that was told is outstanding.
    pub(super) fn settle(&mut self) {
        let revision = self.state.revision;
        if self.state.reserve.is_some_and(|reserve| reserve.until > revision) {
            self.reserve(Reserve::settled(revision, self.boot));
        }
    }

    fn reserve(&mut self, reserve: Reserve) {
        self.state.reserve = Some(reserve);
        record::reserved(&mut self.group.payload, reserve);
    }
}
