//! When a node's key is written and its lease kept alive. Pure: what is known of the node, and the time.
//!
//! 10,000 nodes that report each second would be 10,000 transactions. With 10 s between two writes of a node they are 1,000 puts a second
//! where everything changes all the time, and 167 (one in six times as long) where nothing does; 64 puts are one transaction.

use std::time::{Duration, Instant};

use super::document::Meaning;

/// A report that says nothing new is written when the last one is so many times the shortest time old: its age stays bounded, and a key
/// that somebody deleted by hand comes back.
const REFRESH_TIMES: u32 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Between two writes of one node, whatever it reports.
    pub(super) min_interval: Duration,
    pub(super) report_interval: Duration,
}

/// What was written last.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) meaning: Meaning,
    pub(super) at: Instant,
}

impl Pace {
    /// A node may be silent for three of its reports.
    pub(super) fn lease_s(self) -> i64 {
        let seconds = self.report_interval.saturating_mul(3).as_secs_f64().ceil();
        (seconds as i64).max(2)
    }

    /// Looked at first: what a report means costs more to find out.
    pub(super) fn may_write(self, written: Option<&Written>, now: Instant) -> bool {
        let since = |written: &Written| now.saturating_duration_since(written.at);
        written.is_none_or(|written| since(written) >= self.min_interval)
    }

    pub(super) fn is_due(self, written: Option<&Written>, newest: &Meaning, now: Instant) -> bool {
        let Some(written) = written else { return true };
        let refresh = self.min_interval.saturating_mul(REFRESH_TIMES);
        newest.differs_from(&written.meaning)
            || now.saturating_duration_since(written.at) >= refresh
    }

    /// Whether a report that came at `reported` prolongs a lease that was kept at `kept`.
    pub(super) fn keeps(kept: Option<Instant>, reported: Instant) -> bool {
        kept.is_none_or(|kept| reported > kept)
    }
}

#[cfg(test)]
pub(super) mod tests;
