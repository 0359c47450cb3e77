//! `OomScoreAdj`: what the processes of a cgroup have in `/proc/PID/oom_score_adj`. A file per
//! process, so what is read may be a range; what is written is one value for all.

use std::fmt;
use std::str::FromStr;

/// `oom_score_adj` of every process of a cgroup, -1000 (never killed) to 1000 (killed first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OomScoreAdj {
    lowest: i16,
    highest: i16,
}

impl OomScoreAdj {
    pub const MIN: i16 = -1000;
    pub const MAX: i16 = 1000;

    /// One value for all; `None` outside -1000..=1000, which the kernel answers with EINVAL.
    pub const fn new(value: i16) -> Option<OomScoreAdj> {
        if value >= OomScoreAdj::MIN && value <= OomScoreAdj::MAX {
            Some(OomScoreAdj { lowest: value, highest: value })
        } else {
            None
        }
    }

    /// What both hold, for processes that were read one after another.
    #[must_use]
    pub fn with(self, other: OomScoreAdj) -> OomScoreAdj {
        OomScoreAdj {
            lowest: self.lowest.min(other.lowest),
            highest: self.highest.max(other.highest),
        }
    }

    /// The value, where all processes have the same; a range cannot be written.
    pub const fn single(self) -> Option<i16> {
        if self.lowest == self.highest { Some(self.lowest) } else { None }
    }
}

impl fmt::Display for OomScoreAdj {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(value) => write!(f, "{value}"),
            None => write!(f, "{}..{}", self.lowest, self.highest),
        }
    }
}

/// Neither a number nor a range within -1000..=1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoScore;

impl FromStr for OomScoreAdj {
    type Err = NoScore;

    fn from_str(text: &str) -> Result<OomScoreAdj, NoScore> {
        let one = |text: &str| text.parse().ok().and_then(OomScoreAdj::new).ok_or(NoScore);
        match text.split_once("..") {
            Some((lowest, highest)) => {
                let (lowest, highest) = (one(lowest)?, one(highest)?);
                if lowest < highest { Ok(lowest.with(highest)) } else { Err(NoScore) }
            }
            None => one(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, single: Option<i16>) {
        let score: OomScoreAdj = text.parse().expect(text);
        assert_eq!((score.to_string().as_str(), score.single()), (text, single));
    }

    #[test]
    fn one_value_or_a_range_is_read_and_printed() {
        check("0", Some(0));
        check("-1000", Some(-1000));
        check("1000", Some(1000));
        check("-998..969", None);
        for text in ["", "1001", "-1001", "x", "5..5", "6..5", "0..1001", ".."] {
            assert_eq!(text.parse::<OomScoreAdj>(), Err(NoScore), "{text}");
        }
    }
}
