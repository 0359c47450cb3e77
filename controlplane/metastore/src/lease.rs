//! Leases: who holds which, until when, and which keys go with one. Pure; time is a number of nanoseconds that is handed in, and expiry is
//! an ordinary deletion that somebody else writes.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use crate::refusal::Refusal;

/// Monotonic, of this process.
pub type Nanos = u64;

const SECOND: Nanos = 1_000_000_000;

/// What etcd takes at most; about 285 years.
pub const MAX_TTL_S: i64 = 9_000_000_000;

/// etcd's least: an election timeout and a half, rounded up to seconds.
pub const MIN_TTL_S: i64 = 2;

/// All leases.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    by_id: HashMap<i64, Lease>,
    /// By the time of their end; a lease that was kept alive since is under its newest time only.
    ends: BTreeSet<(Nanos, i64)>,
}

#[derive(Clone, Debug)]
pub struct Lease {
    pub ttl_s: i64,
    pub expires_at: Nanos,
    pub keys: BTreeSet<Bytes>,
}

impl Lease {
    /// Whole seconds, rounded up as etcd does; never below zero.
    pub fn remaining_s(&self, now: Nanos) -> i64 {
        let left = self.expires_at.saturating_sub(now).div_ceil(SECOND);
        i64::try_from(left).unwrap_or(MAX_TTL_S)
    }
}

impl Leases {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn get(&self, id: i64) -> Option<&Lease> {
        self.by_id.get(&id)
    }

    pub fn exists(&self, id: i64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Ids with seconds and keys, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.by_id.iter().map(|(id, lease)| (*id, lease))
    }

    /// How long a lease lasts that is asked for so many seconds.
    pub fn checked_ttl_s(ttl_s: i64) -> Result<i64, Refusal> {
        match ttl_s {
            ..MIN_TTL_S => Ok(MIN_TTL_S),
            MIN_TTL_S..=MAX_TTL_S => Ok(ttl_s),
            _ => Err(Refusal::LeaseTtlTooLarge),
        }
    }

    /// `ttl_s` is checked already.
    pub fn grant(&mut self, id: i64, ttl_s: i64, now: Nanos) -> Result<(), Refusal> {
        if self.exists(id) {
            return Err(Refusal::LeaseExists);
        }
        let expires_at = end(now, ttl_s);
        self.by_id.insert(id, Lease { ttl_s, expires_at, keys: BTreeSet::new() });
        self.ends.insert((expires_at, id));
        Ok(())
    }

    /// Its whole time again. An expired one that is not gone yet cannot be saved: its keys may be on their way out.
    pub fn keep_alive(&mut self, id: i64, now: Nanos) -> Result<i64, Refusal> {
        let lease = self.by_id.get_mut(&id).filter(|lease| lease.expires_at > now);
        let lease = lease.ok_or(Refusal::LeaseNotFound)?;
        self.ends.remove(&(lease.expires_at, id));
        lease.expires_at = end(now, lease.ttl_s);
        self.ends.insert((lease.expires_at, id));
        Ok(lease.ttl_s)
    }

    /// With its keys; they are the caller's to delete.
    pub fn revoke(&mut self, id: i64) -> Result<BTreeSet<Bytes>, Refusal> {
        let lease = self.by_id.remove(&id).ok_or(Refusal::LeaseNotFound)?;
        self.ends.remove(&(lease.expires_at, id));
        Ok(lease.keys)
    }

    pub fn attach(&mut self, id: i64, key: &Bytes) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.keys.insert(key.clone());
        }
    }

    pub fn detach(&mut self, id: i64, key: &[u8]) {
        if let Some(lease) = self.by_id.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    /// Those whose time is over, the longest over first, `most` at a time.
    pub fn expired(&self, now: Nanos, most: usize) -> Vec<i64> {
        let over = self.ends.iter().take_while(|(at, _)| *at <= now);
        over.take(most).map(|(_, id)| *id).collect()
    }

    pub fn in_order_of_end(&self) -> impl Iterator<Item = i64> {
        self.ends.iter().map(|(_, id)| *id)
    }

    /// When the next one ends.
    pub fn next_end(&self) -> Option<Nanos> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// Everybody's whole time again: after a start nobody can know how long nobody could keep anything alive.
    pub fn renew_all(&mut self, now: Nanos) {
        self.ends.clear();
        for (id, lease) in &mut self.by_id {
            lease.expires_at = end(now, lease.ttl_s);
            self.ends.insert((lease.expires_at, *id));
        }
    }
}

fn end(now: Nanos, ttl_s: i64) -> Nanos {
    now.saturating_add(ttl_s.unsigned_abs().saturating_mul(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(ttls: &[(i64, i64)]) -> Leases {
        let mut leases = Leases::default();
        ttls.iter().for_each(|(id, ttl_s)| leases.grant(*id, *ttl_s, 0).unwrap());
        leases
    }

    #[test]
    fn seconds_asked_for_and_granted() {
        for (asked, granted) in [
            (i64::MIN, Ok(2)),
            (-1, Ok(2)),
            (0, Ok(2)),
            (1, Ok(2)),
            (2, Ok(2)),
            (3600, Ok(3600)),
            (MAX_TTL_S, Ok(MAX_TTL_S)),
            (MAX_TTL_S + 1, Err(Refusal::LeaseTtlTooLarge)),
            (i64::MAX, Err(Refusal::LeaseTtlTooLarge)),
        ] {
            assert_eq!(Leases::checked_ttl_s(asked), granted, "{asked}");
        }
    }

    #[test]
    fn leases_end_in_the_order_of_their_time() {
        let mut leases = leases(&[(1, 10), (2, 5), (3, 20)]);
        assert_eq!(leases.next_end(), Some(5 * SECOND));
        assert_eq!(leases.in_order_of_end().collect::<Vec<_>>(), [2, 1, 3]);
        assert!(leases.expired(5 * SECOND - 1, 9).is_empty());
        assert_eq!(leases.expired(20 * SECOND, 9), [2, 1, 3]);
        assert_eq!(leases.expired(20 * SECOND, 1), [2]);
        assert_eq!(leases.keep_alive(2, 4 * SECOND), Ok(5));
        assert!(leases.expired(8 * SECOND, 9).is_empty());
        assert_eq!(leases.keep_alive(2, 9 * SECOND), Err(Refusal::LeaseNotFound));
        assert_eq!(leases.get(2).unwrap().remaining_s(8 * SECOND + 1), 1);
        assert_eq!(leases.get(2).unwrap().remaining_s(99 * SECOND), 0);
        leases.renew_all(100 * SECOND);
        assert!(leases.expired(104 * SECOND, 9).is_empty());
    }

    #[test]
    fn keys_go_with_their_lease() {
        let mut leases = leases(&[(1, 10)]);
        assert_eq!(leases.grant(1, 10, 0), Err(Refusal::LeaseExists));
        for key in ["a", "b"] {
            leases.attach(1, &Bytes::from(key));
            leases.attach(7, &Bytes::from(key));
        }
        leases.detach(1, b"a");
        assert_eq!(leases.revoke(1), Ok([Bytes::from("b")].into()));
        assert_eq!(leases.revoke(1), Err(Refusal::LeaseNotFound));
        assert_eq!((leases.len(), leases.next_end()), (0, None));
    }
}
