//! Reads what a Go test program prints with `-test.v=test2json`: verdicts, names, times and the output of what failed. Pure; one
//! reader per run.
//!
//! In that form each line of the framework's own begins with the control character SYN, so that nothing a test prints is
//! taken for a verdict. A test's parts ("sub-tests") have its name before a slash.

use std::collections::VecDeque;
use std::mem;

/// Enough for the assertion that failed and the server's last words.
const SHOWN_LINES: usize = 40;
/// How much of a panic: its message, and of the stacks of all goroutines, often thousands of lines, those of the tested code.
const PANIC_LINES: usize = 20;
const PANIC_MESSAGE_LINES: usize = 3;
const TESTED_CODE: &str = "k8s.io/apiserver/";

const FRAME: char = '\u{16}';
/// The framework puts these around the message of an error.
const ERROR_MARKS: [char; 2] = ['\u{e}', '\u{f}'];

#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Tally {
    pub(super) whole: Counts,
    pub(super) parts: Counts,
    /// In the order in which they began: a test before its parts.
    pub(super) failures: Vec<Failure>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) skipped: u32,
}

impl Counts {
    pub(super) const fn sum(self) -> u32 {
        self.passed + self.failed + self.skipped
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub(super) name: String,
    /// `None`: it had not ended when the program did.
    pub(super) seconds: Option<f64>,
    pub(super) tail: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    whole: Counts,
    parts: Counts,
    n_begun: u32,
    running: Vec<Test>,
    /// Beside the seconds each took. A panic's text comes after its test's verdict.
    failed: Vec<(Test, Option<f64>)>,
    /// Whose output comes next.
    current: String,
}

#[derive(Debug)]
struct Test {
    name: String,
    began: u32,
    output: Output,
}

/// The last lines, or those from the panic on.
#[derive(Debug, Default)]
struct Output {
    lines: VecDeque<String>,
    n_of_panic: usize,
}

impl Output {
    fn push(&mut self, line: &str) {
        if self.n_of_panic > 0 || line.starts_with("panic: ") || line.starts_with("fatal error: ") {
            let is_shown = self.n_of_panic < PANIC_MESSAGE_LINES || line.contains(TESTED_CODE);
            if !is_shown || self.n_of_panic == PANIC_LINES {
                return;
            }
            self.n_of_panic += 1;
        }
        if self.lines.len() == SHOWN_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.replace(ERROR_MARKS, ""));
    }
}

impl Reader {
    pub(super) fn line(&mut self, line: &str) {
        let mut pieces = line.split(FRAME);
        let said = pieces.next().unwrap_or_default();
        if !said.is_empty() {
            self.said(said);
        }
        for piece in pieces {
            self.framed(piece);
        }
    }

    pub(super) const fn whole(&self) -> Counts {
        self.whole
    }

    /// The test that has run longest.
    pub(super) fn running(&self) -> Option<&str> {
        self.running.first().map(|it| it.name.as_str())
    }

    /// What has not ended by now has failed.
    pub(super) fn end(mut self) -> Tally {
        for test in mem::take(&mut self.running) {
            self.count(&test.name).failed += 1;
            self.failed.push((test, None));
        }
        self.failed.sort_by_key(|(test, _)| test.began);
        let failures = self.failed.into_iter().map(|(test, seconds)| Failure {
            name: test.name,
            seconds,
            tail: test.output.lines.into(),
        });
        Tally { whole: self.whole, parts: self.parts, failures: failures.collect() }
    }

    fn framed(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("=== RUN") {
            self.begin(name.trim());
        } else if let Some((_, name)) =
            line.strip_prefix("=== ").and_then(|rest| rest.split_once(' '))
        {
            // NAME, CONT and PAUSE; of the last one no output follows.
            self.current = name.trim().to_owned();
        } else if let Some((verdict, rest)) =
            line.strip_prefix("--- ").and_then(|rest| rest.split_once(": "))
        {
            self.ended(verdict, rest);
        } else if !matches!(line, "PASS" | "FAIL") {
            // The verdict on the whole program is its exit code.
            self.said(line);
        }
    }

    fn begin(&mut self, name: &str) {
        name.clone_into(&mut self.current);
        self.n_begun += 1;
        self.running.push(Test {
            name: name.to_owned(),
            began: self.n_begun,
            output: Output::default(),
        });
    }

    /// `rest` is "NAME (0.05s)"; what a panic prints may follow it at once.
    fn ended(&mut self, verdict: &str, rest: &str) {
        let (name, time) = rest.split_once(" (").unwrap_or((rest, ""));
        let (seconds, more) = time.split_once("s)").unwrap_or((time, ""));
        let Some(at) = self.running.iter().position(|it| it.name == name) else { return };
        let test = self.running.remove(at);
        let counts = self.count(name);
        match verdict {
            "PASS" => counts.passed += 1,
            "SKIP" => counts.skipped += 1,
            _ => {
                counts.failed += 1;
                self.failed.push((test, seconds.parse().ok()));
            }
        }
        name.clone_into(&mut self.current);
        if !more.trim().is_empty() {
            self.said(more);
        }
    }

    fn count(&mut self, name: &str) -> &mut Counts {
        if name.contains('/') { &mut self.parts } else { &mut self.whole }
    }

    fn said(&mut self, line: &str) {
        let line = line.trim_end();
        let failed = self.failed.iter_mut().map(|(test, _)| test);
        let mut tests = self.running.iter_mut().chain(failed.rev());
        if let Some(test) = tests.find(|it| it.name == self.current) {
            test.output.push(line);
        }
    }
}

#[cfg(test)]
mod tests;
