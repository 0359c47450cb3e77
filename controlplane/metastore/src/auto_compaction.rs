//! Compaction without a client that asks for it: up to what was the newest revision a while ago, or all but the last so many revisions.
//! Pure; times are handed in. As etcd has it: what is looked at how often, and that a period of hours is compacted every hour.

use std::collections::VecDeque;
use std::time::Duration;

use crate::mvcc::Revision;

/// etcd's `--auto-compaction-mode` with its retention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Off,
    /// What was overwritten longer ago is forgotten.
    Periodic(Duration),
    /// So many revisions are kept.
    Revision(Revision),
}

/// Since the start.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Newest revisions with their times, oldest first.
    samples: VecDeque<(Duration, Revision)>,
    compacted_at: Duration,
}

/// Compactions by time are as far apart as the period, and no farther than this.
const HOUR: Duration = Duration::from_secs(3600);
/// Of revisions, as in etcd.
const LOOK_EVERY: Duration = Duration::from_secs(300);

impl Mode {
    /// Between two looks; `None` where nothing is to be done.
    pub fn look_every(self) -> Option<Duration> {
        match self {
            Mode::Off => None,
            Mode::Periodic(period) => Some(period.min(HOUR) / 10),
            Mode::Revision(_) => Some(LOOK_EVERY),
        }
    }
}

/// The store as it is at a look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Since the start of the process.
    pub now: Duration,
    pub newest: Revision,
    pub compacted: Revision,
}

impl Past {
    /// What to compact to now, if anything. It is taken for done: a compaction that fails has its next turn.
    pub fn look(&mut self, mode: Mode, look: Look) -> Option<Revision> {
        let wanted = match mode {
            Mode::Off => return None,
            Mode::Revision(kept) => look.newest - kept,
            Mode::Periodic(period) => self.before(period, look)?,
        };
        (wanted > look.compacted.max(0)).then_some(wanted)
    }

    /// The newest revision of the time that is just not kept any more.
    fn before(&mut self, period: Duration, look: Look) -> Option<Revision> {
        self.samples.push_back((look.now, look.newest));
        let until = look.now.checked_sub(period)?;
        while self.samples.get(1).is_some_and(|(at, _)| *at <= until) {
            self.samples.pop_front();
        }
        let (at, revision) = *self.samples.front()?;
        let is_due = look.now - self.compacted_at >= period.min(HOUR);
        if at > until || !is_due {
            return None;
        }
        self.compacted_at = look.now;
        Some(revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks as often as the mode says, each minute has ten revisions; minutes and revisions of compactions.
    #[track_caller]
    fn check(mode: Mode, minutes: u64, expected: &[(u64, Revision)]) {
        let mut past = Past::default();
        let (mut found, mut compacted) = (Vec::new(), 0);
        let every = mode.look_every().unwrap_or(HOUR);
        let mut now = Duration::ZERO;
        while now.as_secs() <= minutes * 60 {
            let newest = i64::try_from(now.as_secs() / 6).unwrap() + 1;
            if let Some(revision) = past.look(mode, Look { now, newest, compacted }) {
                compacted = revision;
                found.push((now.as_secs() / 60, revision));
            }
            now += every;
        }
        assert_eq!(found, expected, "{mode:?}");
    }

    #[test]
    fn by_time() {
        let minutes = |n: u64| Mode::Periodic(Duration::from_secs(60 * n));
        check(Mode::Off, 600, &[]);
        // The store is empty, so that its first revision is none to forget anything before.
        check(minutes(60), 59, &[]);
        check(minutes(60), 200, &[(60, 1), (120, 601), (180, 1201)]);
        check(minutes(150), 300, &[(150, 1), (210, 601), (270, 1201)]);
        check(minutes(10), 35, &[(10, 1), (20, 101), (30, 201)]);
    }

    #[test]
    fn by_number() {
        check(Mode::Revision(100), 20, &[(10, 1), (15, 51), (20, 101)]);
        check(Mode::Revision(1_000_000), 100, &[]);
        check(Mode::Revision(1), 6, &[(5, 50)]);
    }

    #[test]
    fn nothing_is_compacted_twice() {
        let mut past = Past::default();
        let look =
            |now_s, newest, compacted| Look { now: Duration::from_secs(now_s), newest, compacted };
        let mode = Mode::Periodic(Duration::from_secs(100));
        assert_eq!(past.look(mode, look(0, 5, 0)), None);
        assert_eq!(past.look(mode, look(100, 5, 0)), Some(5));
        assert_eq!(past.look(mode, look(200, 5, 5)), None, "nothing was written since");
        assert_eq!(past.look(mode, look(300, 9, 5)), None, "what is new is younger");
        assert_eq!(past.look(mode, look(400, 9, 5)), Some(9));
        assert_eq!(past.look(Mode::Revision(3), look(0, 9, 7)), None, "a client has done more");
    }
}
