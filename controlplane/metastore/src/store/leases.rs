//! Leases of a store: granted and revoked through the log, kept alive in memory, and ended by an ordinary deletion.

use std::sync::Arc;

use bytes::Bytes;

use super::{Durable, Sequencer, Store};
use crate::alarm::LEASE_BYTES;
use crate::happening::Happening;
use crate::lease::Leases;
use crate::mvcc::Revision;
use crate::random::Random;
use crate::record;
use crate::refusal::Refusal;
use crate::state::Writing;

/// So many leases end in one turn; the lock is let go between two turns.
const MOST_AT_ONCE: usize = 64;

/// What becomes of it is known, and is told when what it follows from is durable: a refusal too.
type Begun<T> = Result<(Result<T, Refusal>, Durable), Refusal>;

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub granted_s: i64,
    pub remaining_s: i64,
    pub keys: Vec<Bytes>,
}

impl Store {
    /// Returns id, seconds and the store's revision. An id of 0 is chosen here.
    pub async fn grant(&self, id: i64, ttl_s: i64) -> Result<(i64, i64, Revision), Refusal> {
        let ttl_s = Leases::checked_ttl_s(ttl_s)?;
        let (granted, durable) = self.begin_grant(id, ttl_s)?;
        durable.wait().await?;
        let (id, revision) = granted?;
        Ok((id, ttl_s, revision))
    }

    fn begin_grant(&self, id: i64, ttl_s: i64) -> Begun<(i64, Revision)> {
        let now = self.now();
        let mut sequencer = self.sequencer()?;
        if let Err(refusal) = sequencer.find_room(LEASE_BYTES) {
            self.metrics.refused("no_space");
            let durable = sequencer.durable();
            self.wake(sequencer);
            return Ok((Err(refusal), durable));
        }
        let id = if id == 0 { sequencer.free_id(now) } else { id };
        let granted = sequencer.state.leases.grant(id, ttl_s, now);
        if granted.is_ok() {
            self.metrics.lease_granted();
            record::lease_granted(&mut sequencer.group.payload, id, ttl_s);
        }
        let revision = sequencer.state.revision;
        let durable = sequencer.durable();
        self.wake(sequencer);
        Ok((granted.map(|()| (id, revision)), durable))
    }

    /// Deletes its keys.
    pub async fn revoke(&self, id: i64) -> Result<Revision, Refusal> {
        let (revision, durable) = self.begin_revoke(id)?;
        durable.wait().await?;
        revision
    }

    fn begin_revoke(&self, id: i64) -> Begun<Revision> {
        let mut sequencer = self.sequencer()?;
        let durable = match sequencer.revoke(id) {
            Ok(durable) => durable,
            Err(refusal) => return Ok((Err(refusal), sequencer.durable())),
        };
        self.metrics.lease_ended();
        let revision = sequencer.state.revision;
        self.wake(sequencer);
        Ok((Ok(revision), durable))
    }

    /// Returns its seconds.
    pub fn keep_alive(&self, id: i64) -> Result<i64, Refusal> {
        let now = self.now();
        self.sequencer()?.state.leases.keep_alive(id, now)
    }

    pub fn lease(&self, id: i64) -> Result<Option<Known>, Refusal> {
        let now = self.now();
        let sequencer = self.sequencer()?;
        Ok(sequencer.state.leases.get(id).map(|lease| Known {
            granted_s: lease.ttl_s,
            remaining_s: lease.remaining_s(now),
            keys: lease.keys.iter().cloned().collect(),
        }))
    }

    /// Whether something holds for all keys of a lease; a lease that is not there has none.
    pub fn all_keys_of_lease(&self, id: i64, holds: impl Fn(&Bytes) -> bool) -> bool {
        let sequencer = self.locked();
        sequencer.state.leases.get(id).is_none_or(|lease| lease.keys.iter().all(holds))
    }

    /// Those that end first are first.
    pub fn leases(&self) -> Result<Vec<i64>, Refusal> {
        Ok(self.sequencer()?.state.leases.in_order_of_end().collect())
    }

    /// Ends those whose time is over; how many there were. To be called again at once where it was as many as are ended at once.
    pub fn expire(&self) -> Result<usize, Refusal> {
        let now = self.now();
        let mut sequencer = self.sequencer()?;
        let expired = sequencer.state.leases.expired(now, MOST_AT_ONCE);
        for id in &expired {
            // Nobody waits for it to be durable: a lease that comes back with a start ends again.
            let _ = sequencer.revoke(*id)?;
            self.metrics.lease_ended();
        }
        self.wake(sequencer);
        self.metrics.health.leases_expired(expired.len());
        Ok(expired.len())
    }
}

impl Sequencer {
    fn revoke(&mut self, id: i64) -> Result<Durable, Refusal> {
        let keys = self.state.leases.revoke(id)?;
        let happening = self.delete(keys.iter());
        record::lease_revoked(&mut self.group.payload, id);
        Ok(self.changed(happening))
    }

    fn delete<'k>(&mut self, keys: impl Iterator<Item = &'k Bytes>) -> Option<Arc<Happening>> {
        let payload_lsn = self.group.payload_lsn();
        let mut writing = Writing::begin(&mut self.state, &mut self.group.payload, payload_lsn);
        keys.for_each(|key| writing.delete(key));
        writing.finish()
    }

    /// Unlike any that is there, and hard to guess the next one of: ids are handed from one program to another.
    fn free_id(&self, now: u64) -> i64 {
        let seed = now ^ (self.group.at.0 << 20) ^ self.group.payload.len() as u64;
        let mut random = Random::new(seed);
        loop {
            let id = random.number().cast_signed() & i64::MAX;
            if id != 0 && !self.state.leases.exists(id) {
                return id;
            }
        }
    }
}
