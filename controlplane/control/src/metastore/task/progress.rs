//! How far something is, for a person who waits: nothing for what is over soon, then a line that changes on a terminal, and one in a while
//! elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const SILENT_FOR: Duration = Duration::from_secs(3);
const ON_TERMINAL: Duration = Duration::from_millis(300);
const ELSEWHERE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    began: Instant,
    next: Instant,
    is_terminal: bool,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Progress {
        let began = Instant::now();
        let is_terminal = std::io::stderr().is_terminal();
        Progress { what, began, next: began + SILENT_FOR, is_terminal, is_shown: false }
    }

    /// `text` is made only when it is shown.
    pub(super) fn at(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let seconds = now.duration_since(self.began).as_secs();
        let (begin, end) = if self.is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(std::io::stderr(), "{begin}{}: {} ({seconds} s){end}", self.what, text());
        self.is_shown = true;
        self.next = now + if self.is_terminal { ON_TERMINAL } else { ELSEWHERE };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown && self.is_terminal {
            let _ = writeln!(std::io::stderr());
        }
    }
}

/// For people: 3 significant digits.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1000.0 && unit + 1 < units.len() {
        number /= 1024.0;
        unit += 1;
    }
    match (unit, number) {
        (0, _) => format!("{bytes} B"),
        (_, ..10.0) => format!("{number:.2} {}", units[unit]),
        (_, ..100.0) => format!("{number:.1} {}", units[unit]),
        _ => format!("{number:.0} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (1 << 20, "1.00 MiB"),
            (123 << 20, "123 MiB"),
            (50 << 30, "50.0 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(super::bytes(bytes), text);
        }
    }
}
