//! A number that is told to a whole cluster, made from one that follows every moment of a node. Pure: owns for how long a number must have
//! been elsewhere before it is followed.
//!
//! A service that is busy for a second takes the headroom of that second. Ten thousand nodes that told each such second, and its end,
//! would be thousands of writes in it. So a number is followed down when it was lower for [`DOWN_AFTER`], and up when it was higher for
//! [`UP_AFTER`], each time as far as it was all the while. A reader that decides by it sees what was there but for moments: shorter ones
//! than Katalyst's headroom reporter sees, which looks every 30 s.

use std::cmp::Ordering;

use model::{Nanos, Timestamp};

const DOWN_AFTER: Nanos = Nanos::from_secs(10);
/// A promise that was too high is broken, one that was too low only leaves something idle.
const UP_AFTER: Nanos = Nanos::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    value: u64,
    away: Option<Away>,
}

/// Where the followed number has been since it left, on one side of what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Away {
    side: Ordering,
    since: Timestamp,
    nearest: u64,
}

impl Settled {
    /// The first value is taken as it is.
    pub(super) fn new(value: u64) -> Settled {
        Settled { value, away: None }
    }

    pub(super) fn value(&self) -> u64 {
        self.value
    }

    pub(super) fn follow(&mut self, now: Timestamp, seen: u64) {
        let side = seen.cmp(&self.value);
        let went_on = self.away.filter(|away| away.side == side);
        let (after, nearest) = match side {
            Ordering::Equal => {
                self.away = None;
                return;
            }
            Ordering::Less => (DOWN_AFTER, went_on.map_or(seen, |away| away.nearest.max(seen))),
            Ordering::Greater => (UP_AFTER, went_on.map_or(seen, |away| away.nearest.min(seen))),
        };
        let since = went_on.map_or(now, |away| away.since);
        if now.since(since) >= after {
            *self = Settled::new(nearest);
        } else {
            self.away = Some(Away { side, since, nearest });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen from each of these seconds on, looked at every second until the end -> each change of what is told.
    #[track_caller]
    fn check(seen: &[(u64, u64)], end: u64, expect: &[(u64, u64)]) {
        let mut settled = Settled::new(seen[0].1);
        let mut told = vec![(0, settled.value())];
        for second in 0..=end {
            let (_, value) = seen.iter().rfind(|(from, _)| *from <= second).expect("from 0 s");
            settled.follow(Timestamp(second * 1_000_000_000), *value);
            if told.last().is_some_and(|(_, last)| *last != settled.value()) {
                told.push((second, settled.value()));
            }
        }
        assert_eq!(told, expect, "{seen:?}");
    }

    #[test]
    fn what_lasts_is_followed_down_soon_and_up_late() {
        check(&[(0, 100)], 300, &[(0, 100)]);
        check(&[(0, 100), (5, 60)], 300, &[(0, 100), (15, 60)]);
        check(&[(0, 100), (5, 140)], 300, &[(0, 100), (125, 140)]);
        check(&[(0, 100), (5, 0)], 300, &[(0, 100), (15, 0)]);
    }

    #[test]
    fn a_moment_changes_nothing() {
        check(&[(0, 100), (5, 0), (14, 100)], 300, &[(0, 100)]);
        check(&[(0, 100), (5, 900), (124, 100)], 300, &[(0, 100)]);
        check(&[(0, 100), (5, 60), (14, 101), (15, 60), (24, 100)], 300, &[(0, 100)]);
    }

    #[test]
    fn it_is_followed_as_far_as_it_was_all_the_while() {
        check(&[(0, 100), (5, 20), (8, 70), (9, 20)], 20, &[(0, 100), (15, 70)]);
        check(&[(0, 100), (5, 900), (30, 120), (40, 900)], 126, &[(0, 100), (125, 120)]);
        // One that goes on falling is followed in steps.
        check(&[(0, 100), (5, 60), (15, 30)], 60, &[(0, 100), (15, 60), (26, 30)]);
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing() {
        let mut settled = Settled::new(100);
        settled.follow(Timestamp(50_000_000_000), 60);
        settled.follow(Timestamp(0), 60);
        assert_eq!(settled.value(), 100);
    }
}
