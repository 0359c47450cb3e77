//! When an object is written again. Pure: owns the hysteresis, so that ten thousand nodes do not write what nobody needs to know, and which
//! pauses follow a failure.

use std::time::Duration;

use model::{Nanos, Timestamp};
use runtime::pauses::{Jitter, Pauses};
use serde_json::Value;

/// However much changes.
const AT_MOST_EVERY: Nanos = Nanos::from_secs(5);
/// For what drifts.
const DRIFT_EVERY: Nanos = Nanos::from_secs(60);
/// An object that says nothing for longer is taken for that of a dead agent (Katalyst's lifecycle controller allows ten minutes).
const HEARTBEAT: Nanos = Nanos::from_secs(240);
/// An amount that differs by this many hundredths is told at once.
const PERCENT: u64 = 2;
/// Somebody has to install a kind before it is there.
const NOT_SERVED: Nanos = Nanos::from_secs(60);
/// An apiserver that comes back after a minute finds the tries of ten thousand agents spread over several.
const PAUSES: Pauses = Pauses {
    first: Duration::from_secs(5),
    longest: Duration::from_secs(300),
    jitter: Jitter::Full,
};

/// An object in parts by how much it matters that they changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    /// Without what drifts and without the time.
    pub(super) fixed: Value,
    /// Numbers that somebody decides by.
    pub(super) amounts: Vec<u64>,
    /// Measurements, and where they stand in the object: a JSON pointer (RFC 6901).
    pub(super) drifting: Vec<(&'static str, Value)>,
    /// Times; no reason to write.
    pub(super) stamps: Vec<(&'static str, Value)>,
    /// Written now and then though nothing changed: its readers take silence for death, or nobody here would hear that it is gone.
    pub(super) is_renewed: bool,
}

impl Content {
    /// All of it.
    pub(super) fn object(&self) -> Value {
        let mut object = self.fixed.clone();
        for (place, value) in self.drifting.iter().chain(&self.stamps) {
            if let Some(slot) = object.pointer_mut(place) {
                *slot = value.clone();
            }
        }
        object
    }
}

/// How the apiserver took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Result {
    Taken,
    NotServed,
    Failed,
}

/// One object's history.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// What stands there, and since when.
    written: Option<(Timestamp, Content)>,
    not_before: Option<Timestamp>,
    n_failed: u32,
    uid: String,
}

impl Pace {
    /// Whether anything may be written now; nothing need be put together before.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|at| now >= at)
    }

    pub(super) fn is_due(&self, now: Timestamp, new: &Content) -> bool {
        if !self.is_open(now) {
            return false;
        }
        let Some((at, old)) = &self.written else { return true };
        let age = now.since(*at);
        let at_once = old.fixed != new.fixed || differ(&old.amounts, &new.amounts);
        let drifted = old.amounts != new.amounts || old.drifting != new.drifting;
        at_once && age >= AT_MOST_EVERY
            || drifted && age >= DRIFT_EVERY
            || new.is_renewed && age >= HEARTBEAT
    }

    /// `random` is the jitter after a failure.
    pub(super) fn wrote(&mut self, now: Timestamp, content: Content, result: Result, random: u64) {
        let pause = match result {
            Result::Taken => {
                self.n_failed = 0;
                self.written = Some((now, content));
                AT_MOST_EVERY
            }
            Result::NotServed => NOT_SERVED,
            Result::Failed => {
                self.n_failed = self.n_failed.saturating_add(1);
                Nanos(PAUSES.after(self.n_failed, random).as_nanos() as u64)
            }
        };
        self.not_before = Some(Timestamp(now.0.saturating_add(pause.0)));
    }

    /// Somebody else wrote there.
    pub(super) fn overwritten(&mut self) {
        self.written = None;
    }

    /// Nothing is known of an object that was made anew under its name.
    pub(super) fn of(&mut self, uid: &str) {
        if self.uid != uid {
            self.uid = uid.to_owned();
            self.written = None;
        }
    }
}

fn differ(old: &[u64], new: &[u64]) -> bool {
    let far = |(old, new): (&u64, &u64)| {
        old.abs_diff(*new).saturating_mul(100) > old.saturating_mul(PERCENT)
    };
    old.len() != new.len() || old.iter().zip(new).any(far)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp(second * 1_000_000_000)
    }

    fn content(fixed: &str, amount: u64, usage: u64) -> Content {
        Content {
            fixed: json!({ "is": fixed, "usage": null, "at": null }),
            amounts: vec![amount],
            drifting: vec![("/usage", json!(usage))],
            stamps: vec![("/at", json!("now"))],
            is_renewed: true,
        }
    }

    /// Written once at 0 s; whether something else is due later.
    #[track_caller]
    fn check(second: u64, new: Content, expect: bool) {
        let mut pace = Pace::default();
        let first = content("a", 1000, 5);
        assert!(pace.is_due(at(0), &first));
        pace.wrote(at(0), first, Result::Taken, 0);
        assert_eq!(pace.is_due(at(second), &new), expect, "{new:?} at {second} s");
    }

    #[test]
    fn what_matters_is_told_soon_and_what_drifts_once_a_minute() {
        check(239, content("a", 1000, 5), false);
        check(240, content("a", 1000, 5), true);
        check(4, content("b", 1000, 5), false);
        check(5, content("b", 1000, 5), true);
        check(5, content("a", 1020, 5), false);
        check(59, content("a", 1020, 5), false);
        check(60, content("a", 1020, 5), true);
        check(5, content("a", 1021, 5), true);
        check(5, content("a", 979, 5), true);
        check(5, content("a", 0, 5), true);
        check(59, content("a", 1000, 6), false);
        check(60, content("a", 1000, 6), true);
    }

    #[test]
    fn from_nothing_to_something_is_far() {
        assert!(differ(&[0], &[1]));
        assert!(!differ(&[0], &[0]));
        assert!(differ(&[], &[0]));
        assert!(!differ(&[u64::MAX], &[u64::MAX - 1]));
    }

    #[test]
    fn what_nobody_takes_for_a_sign_of_life_is_not_renewed() {
        let still = |second: u64| {
            let mut pace = Pace::default();
            let content = Content { is_renewed: false, ..content("a", 1000, 5) };
            pace.wrote(at(0), content.clone(), Result::Taken, 0);
            pace.is_due(at(second), &content)
        };
        assert!(!still(240) && !still(100_000));
    }

    /// Seconds until the next try after so many failures in a row, at most; at least none.
    #[test]
    fn failures_are_retried_ever_more_rarely_and_by_each_at_another_time() {
        let content = content("a", 1000, 5);
        let failed = |n_failed: u32, random: u64| {
            let mut pace = Pace::default();
            let fail = |_| pace.wrote(at(0), content.clone(), Result::Failed, random);
            (0..n_failed).for_each(fail);
            pace
        };
        for (n_failed, pause) in [(1, 5), (2, 10), (3, 20), (7, 300), (1000, 300)] {
            let late = failed(n_failed, pause * 1_000_000);
            assert!(!late.is_due(at(pause - 1), &content), "{n_failed}");
            assert!(late.is_due(at(pause), &content), "{n_failed}");
            assert!(failed(n_failed, 0).is_due(at(0), &content), "{n_failed}");
        }
        let mut pace = Pace::default();
        pace.wrote(at(0), content.clone(), Result::NotServed, 0);
        assert!(!pace.is_due(at(59), &content) && pace.is_due(at(60), &content));
    }

    #[test]
    fn what_somebody_else_wrote_over_is_written_again() {
        let mut pace = Pace::default();
        pace.of("u1");
        pace.wrote(at(0), content("a", 1, 1), Result::Taken, 0);
        pace.of("u1");
        assert!(!pace.is_due(at(5), &content("a", 1, 1)));
        pace.of("u2");
        assert!(pace.is_due(at(5), &content("a", 1, 1)));
        pace.wrote(at(5), content("a", 1, 1), Result::Taken, 0);
        pace.overwritten();
        assert!(!pace.is_due(at(9), &content("a", 1, 1)), "not oftener than every five seconds");
        assert!(pace.is_due(at(10), &content("a", 1, 1)));
    }

    #[test]
    fn an_object_is_put_together_again() {
        let whole = content("a", 1, 7).object();
        assert_eq!(whole, json!({ "is": "a", "usage": 7, "at": "now" }));
    }
}
