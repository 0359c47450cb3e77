//! How long to wait before the next try of something that failed. Pure but for the random number, which the caller
//! takes from [`random`]. Who tries what is not known here.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// Pauses that double with each failure in a row, up to a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    pub first: Duration,
    pub longest: Duration,
    pub jitter: Jitter,
}

/// Those that failed together must not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Between half of the pause and all of it: where few wait for one.
    Half,
    /// Between nothing and all of it: where ten thousand wait for one.
    Full,
}

impl Pauses {
    /// After so many failures in a row.
    pub fn after(&self, n_failed: u32, random: u64) -> Duration {
        let doublings = n_failed.saturating_sub(1).min(16);
        let longest_us =
            self.first.saturating_mul(1 << doublings).min(self.longest).as_micros() as u64;
        let shortest_us = match self.jitter {
            Jitter::Half => longest_us / 2,
            Jitter::Full => 0,
        };
        Duration::from_micros(shortest_us + random % (longest_us - shortest_us + 1))
    }
}

/// The standard library's hasher has random keys.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Jitter, Pauses};

    /// In milliseconds.
    #[track_caller]
    fn check(jitter: Jitter, n_failed: u32, shortest: u64, longest: u64) {
        let pauses =
            Pauses { first: Duration::from_millis(100), longest: Duration::from_secs(10), jitter };
        let span_us = (longest - shortest) * 1000;
        let after = |random| pauses.after(n_failed, random);
        assert_eq!(after(0), Duration::from_millis(shortest), "{n_failed}");
        assert_eq!(after(span_us), Duration::from_millis(longest), "{n_failed}");
        let any = after(u64::MAX);
        assert!(any >= Duration::from_millis(shortest) && any <= Duration::from_millis(longest));
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ_by_half_or_by_all() {
        check(Jitter::Half, 0, 50, 100);
        check(Jitter::Half, 1, 50, 100);
        check(Jitter::Half, 2, 100, 200);
        check(Jitter::Half, 5, 800, 1600);
        check(Jitter::Half, 8, 5000, 10_000);
        check(Jitter::Half, u32::MAX, 5000, 10_000);
        check(Jitter::Full, 0, 0, 100);
        check(Jitter::Full, 3, 0, 400);
        check(Jitter::Full, u32::MAX, 0, 10_000);
    }
}
