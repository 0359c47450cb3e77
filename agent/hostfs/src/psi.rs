//! Pressure stall information (Documentation/accounting/psi.rst): the text of a pressure file and
//! the text that arms a trigger. Pure; the files are read by `cgroup::read` and `procfs`.

use std::fmt;

use model::Micros;
use model::sample::{Pressure, PressureLine};

use crate::parse::{ParseError, number};

/// Reads a pressure file. `full` is missing for cpu on kernels before 5.13.
pub fn parse_pressure(text: &str) -> Result<Pressure, ParseError> {
    let mut some = None;
    let mut full = None;
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("some", rest)) => some = Some(pressure_line(rest)?),
            Some(("full", rest)) => full = Some(pressure_line(rest)?),
            _ => return Err(ParseError::new(line, "a line that begins with some or full")),
        }
    }
    let some = some.ok_or_else(|| ParseError::new(text, "a pressure file with a some line"))?;
    Ok(Pressure { some, full })
}

fn pressure_line(text: &str) -> Result<PressureLine, ParseError> {
    let mut line = PressureLine::default();
    let mut n_known = 0;
    for field in text.split_ascii_whitespace() {
        let (key, value) =
            field.split_once('=').ok_or_else(|| ParseError::new(field, "key=value"))?;
        n_known += 1;
        match key {
            "avg10" => line.avg10_pct = percent(value)?,
            "avg60" => line.avg60_pct = percent(value)?,
            "avg300" => line.avg300_pct = percent(value)?,
            "total" => line.total = Micros(number(value)?),
            _ => n_known -= 1,
        }
    }
    match n_known {
        4 => Ok(line),
        _ => Err(ParseError::new(text, "avg10, avg60, avg300 and total")),
    }
}

/// The kernel prints `LOAD_INT.LOAD_FRAC`, two digits behind the point.
fn percent(text: &str) -> Result<f64, ParseError> {
    let malformed = || ParseError::new(text, "a percentage like 12.34");
    let (whole, hundredths) = text.split_once('.').ok_or_else(malformed)?;
    let (whole, hundredths) = match (number(whole), number(hundredths), hundredths.len()) {
        (Ok(whole), Ok(hundredths), 2) if whole <= 1_000_000 => (whole, hundredths),
        _ => return Err(malformed()),
    };
    Ok((whole * 100 + hundredths) as f64 / 100.0)
}

/// Which line of a pressure file a trigger watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalled {
    Some,
    Full,
}

/// "Tell me when tasks stalled for `stall` within `window`".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    stalled: Stalled,
    stall: Micros,
    window: Micros,
}

impl Threshold {
    /// Windows the kernel accepts: 500 ms to 10 s (kernel/sched/psi.c, WINDOW_MIN_US and
    /// WINDOW_MAX_US).
    pub const MIN_WINDOW: Micros = Micros(500_000);
    pub const MAX_WINDOW: Micros = Micros(10_000_000);

    /// `Err` says why the kernel would answer EINVAL.
    pub fn new(stalled: Stalled, stall: Micros, window: Micros) -> Result<Threshold, &'static str> {
        if window < Threshold::MIN_WINDOW || window > Threshold::MAX_WINDOW {
            return Err("a PSI window is 500 ms to 10 s long");
        }
        if stall.0 == 0 || stall > window {
            return Err("a PSI threshold is above zero and not longer than its window");
        }
        Ok(Threshold { stalled, stall, window })
    }
}

impl fmt::Display for Threshold {
    /// What is written to the pressure file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stalled = match self.stalled {
            Stalled::Some => "some",
            Stalled::Full => "full",
        };
        write!(f, "{stalled} {} {}", self.stall, self.window)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: &str = "some avg10=1.53 avg60=0.87 avg300=0.73 total=1088168194\n\
                        full avg10=0.00 avg60=0.10 avg300=100.00 total=97\n";

    #[test]
    fn both_lines_are_read() {
        let pressure = parse_pressure(BOTH).expect("well formed");
        assert_eq!(pressure.some.avg10_pct, 1.53);
        assert_eq!(pressure.some.total, Micros(1_088_168_194));
        let full = pressure.full.expect("has a full line");
        assert_eq!((full.avg60_pct, full.avg300_pct, full.total), (0.1, 100.0, Micros(97)));
    }

    #[test]
    fn a_missing_full_line_is_not_a_zero_one() {
        let old = BOTH.lines().next().expect("first line");
        assert_eq!(parse_pressure(old).map(|pressure| pressure.full), Ok(None));
    }

    #[test]
    fn broken_files_are_malformed() {
        for text in [
            "",
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=0",
            "some avg10=0.00 avg60=0.00 avg300=0.00",
            "some avg10=0.0 avg60=0.00 avg300=0.00 total=0",
            "some avg10=-1.00 avg60=0.00 avg300=0.00 total=0",
            "some avg10=nan avg60=0.00 avg300=0.00 total=0",
            "some avg10 avg60=0.00 avg300=0.00 total=0",
            "none avg10=0.00 avg60=0.00 avg300=0.00 total=0",
        ] {
            assert!(parse_pressure(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn windows_are_checked_before_the_kernel_sees_them() {
        let try_window = |stall, window| {
            Threshold::new(Stalled::Some, Micros(stall), Micros(window)).map(|t| t.to_string())
        };
        assert_eq!(try_window(150_000, 1_000_000), Ok("some 150000 1000000".to_owned()));
        for (stall, window) in
            [(1, 499_999), (1, 10_000_001), (0, 1_000_000), (1_000_001, 1_000_000)]
        {
            assert!(try_window(stall, window).is_err(), "{stall} {window}");
        }
        assert_ne!(try_window(500_000, 500_000).ok(), None);
        assert_ne!(try_window(1, 10_000_000).ok(), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in crate::parse::tests::arb_text()) {
            let _ = parse_pressure(&text);
        }

        #[test]
        fn what_the_kernel_prints_is_read_back(avg in 0u64..=10_000, total: u64) {
            let text = format!(
                "some avg10={}.{:02} avg60=0.00 avg300=0.00 total={total}", avg / 100, avg % 100,
            );
            let some = parse_pressure(&text).expect("well formed").some;
            prop_assert_eq!((some.avg10_pct * 100.0).round() as u64, avg);
            prop_assert_eq!(some.total, Micros(total));
        }
    }
}
