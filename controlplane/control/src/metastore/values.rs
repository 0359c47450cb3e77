//! Values of flags as text.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use metastore::auto_compaction::Mode;
use metastore::service::EngineUrl;

pub(super) fn engine_url(text: &str) -> Result<EngineUrl, String> {
    match text.split_once("://") {
        Some(("memory", "")) => Ok(EngineUrl::Memory),
        Some(("log", folder)) if !folder.is_empty() => {
            Ok(EngineUrl::Log { folder: PathBuf::from(folder) })
        }
        _ => Err("log://FOLDER or memory://".to_owned()),
    }
}

/// Between two words of a watch.
pub(in crate::metastore) fn duration(text: &str) -> Result<Duration, String> {
    let duration = go_duration(text)?;
    let allowed = Duration::from_millis(1)..=Duration::from_secs(86_400);
    if allowed.contains(&duration) { Ok(duration) } else { Err("1ms to 24h".to_owned()) }
}

/// What is kept by compaction: whether it is a time or a number is said by another flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retention(String);

impl FromStr for Retention {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Retention, Infallible> {
        Ok(Retention(text.to_owned()))
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longer than any history is kept: a hundred years.
const MOST_HOURS: u64 = 876_000;

impl Retention {
    /// A number without a unit is hours, as in etcd.
    pub(super) fn as_period(&self) -> Result<Mode, String> {
        let period = match self.0.parse::<u64>() {
            Ok(hours) if hours <= MOST_HOURS => Duration::from_secs(3600 * hours),
            Ok(_) => return Err(format!("0 to {MOST_HOURS} hours")),
            Err(_) => go_duration(&self.0)?,
        };
        match period {
            Duration::ZERO => Ok(Mode::Off),
            _ if period < Duration::from_secs(1) => Err("0, or 1s and more".to_owned()),
            _ => Ok(Mode::Periodic(period)),
        }
    }

    pub(super) fn as_revisions(&self) -> Result<Mode, String> {
        match self.0.parse::<i64>() {
            Ok(0) => Ok(Mode::Off),
            Ok(kept) if kept > 0 => Ok(Mode::Revision(kept)),
            _ => Err("a number of revisions, 0 or more".to_owned()),
        }
    }
}

/// As Go writes them: `1h30m`, `500ms`, `1.5s`.
fn go_duration(text: &str) -> Result<Duration, String> {
    let allowed = || format!("{text:?} is no time: numbers with ms, s, m or h behind them");
    let (mut rest, mut seconds) = (text, 0.0);
    if rest.is_empty() {
        return Err(allowed());
    }
    while !rest.is_empty() {
        let is_digit = |letter: char| letter.is_ascii_digit() || letter == '.';
        let n_digits = rest.find(|letter| !is_digit(letter)).ok_or_else(allowed)?;
        let (number, behind) = rest.split_at(n_digits);
        let n_unit = behind.find(is_digit).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(n_unit);
        let unit_s = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(allowed()),
        };
        seconds += number.parse::<f64>().map_err(|_no_number| allowed())? * unit_s;
        rest = behind;
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_go_writes_them() {
        for (text, expected_ms) in [
            ("500ms", Some(500)),
            ("5s", Some(5000)),
            ("1.5s", Some(1500)),
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5x", None),
            ("5s5", None),
            ("1.2.3s", None),
            ("-5s", None),
        ] {
            let ms = go_duration(text).ok().map(|time| time.as_millis());
            assert_eq!(ms, expected_ms, "{text}");
        }
        duration("25h").unwrap_err();
        duration("0s").unwrap_err();
    }
}
