//! How fast something may be done: tokens that come evenly and are saved up to a bound. Pure; the time is handed in.

use crate::lease::Nanos;

/// Tokens in a second, and how many are saved up at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

/// The tokens that there are, at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    tokens: f64,
    at: Nanos,
}

const SECOND: f64 = 1e9;

impl Bucket {
    pub fn full(rate: Rate, now: Nanos) -> Bucket {
        Bucket { tokens: rate.burst, at: now }
    }

    /// What is left when `n` are taken, or `None` where not even one is there. Who takes more than there are takes them from those who come
    /// later: a request with more writes than can be saved up is not refused for ever.
    #[must_use]
    pub fn take(self, rate: Rate, now: Nanos, n: u64) -> Option<Bucket> {
        let came = now.saturating_sub(self.at) as f64 / SECOND * rate.per_second;
        let tokens = (self.tokens + came).min(rate.burst);
        (tokens >= 1.0).then(|| Bucket { tokens: tokens - n as f64, at: now.max(self.at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds and how many are asked for then; whether each is given.
    #[track_caller]
    fn check((per_second, burst): (f64, f64), asked: &[(u64, u64)], expected: &[bool]) {
        let rate = Rate { per_second, burst };
        let mut bucket = Bucket::full(rate, 0);
        let given = asked.iter().map(|(at_ms, n)| {
            let left = bucket.take(rate, at_ms * 1_000_000, *n);
            bucket = left.unwrap_or(bucket);
            left.is_some()
        });
        assert_eq!(given.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn tokens_come_with_time() {
        check(
            (10.0, 2.0),
            &[(0, 1), (0, 1), (0, 1), (99, 1), (101, 1)],
            &[true, true, false, false, true],
        );
        check(
            (10.0, 2.0),
            &[(0, 2), (10_000, 1), (10_000, 1), (10_000, 1)],
            &[true, true, true, false],
        );
        check(
            (10.0, 2.0),
            &[(0, 12), (1000, 1), (1099, 1), (1101, 1)],
            &[true, false, false, true],
        );
        // Time that goes back brings nothing and takes nothing.
        check((1.0, 1.0), &[(5000, 1), (0, 1), (5900, 1), (6000, 1)], &[true, false, false, true]);
        check((0.5, 1.0), &[(0, 1), (1000, 1), (2000, 1)], &[true, false, true]);
    }
}
