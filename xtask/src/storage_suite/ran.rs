//! Runs one test program: its output goes to a log and to the reader of verdicts, a line shows how far it is. Owns the process;
//! the servers are its children and end with it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::gotest::{Reader, Tally};
use crate::setup::shell;

/// The variable that `xtask/kube/storage-suite` reads.
const SERVER: &str = "BERTH_SUITE_SERVER";
/// For all tests of a package, which take 2 to 3 minutes on a quiet machine. A later `-timeout` takes its place.
const LIMIT: &str = "-test.timeout=40m";
/// Where no terminal is, a line comes this often.
const LINE_EVERY: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Program<'a> {
    pub(super) package: &'a str,
    pub(super) path: PathBuf,
    /// Where its sources lie.
    pub(super) folder: PathBuf,
    /// Words of a command line with placeholders.
    pub(super) server: &'a [String],
    pub(super) log: &'a Path,
    /// For the data of servers; what a test that was cut off leaves stays until the next run.
    pub(super) scratch: &'a Path,
}

#[derive(Debug)]
pub(super) struct Ran {
    pub(super) tally: Tally,
    /// What the verdicts do not say: that some are missing, for example.
    pub(super) complaint: Option<String>,
    pub(super) took: Duration,
}

impl Ran {
    pub(super) const fn succeeded(&self) -> bool {
        self.tally.failures.is_empty() && self.complaint.is_none()
    }
}

pub(super) fn run(
    program: &Program<'_>,
    only: Option<&str>,
    flags: &[String],
) -> anyhow::Result<Ran> {
    let began = Instant::now();
    // With flags of one's own nobody here knows how many there will be.
    let expected = if flags.is_empty() { Some(count(program, only)?) } else { None };
    let mut command = Command::new(&program.path);
    command.current_dir(&program.folder).args(["-test.v=test2json", LIMIT]);
    command.args(only.map(|only| format!("-test.run={only}")));
    command.args(flags.iter().map(|flag| of_test_program(flag)));
    command.env("TMPDIR", program.scratch);
    command.env(SERVER, serde_json::to_string(program.server).context("write a list of words")?);
    let (output, writer) = io::pipe().context("make a pipe")?;
    command.stdin(Stdio::null());
    command.stdout(writer.try_clone().context("share a pipe")?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("run {}", program.path.display()))?;
    // It holds the writing end of the pipe, which would not come to its end.
    drop(command);
    let log = File::create(program.log).with_context(|| format!("{}", program.log.display()))?;
    let reader = follow(lines(output), log, &Progress::new(expected))?;
    let status = child.wait().context("wait for the tests")?;
    let tally = reader.end();
    let n_ran = tally.whole.sum();
    let complaint = match expected {
        Some(expected) if n_ran < expected => {
            Some(format!("{n_ran} of {expected} tests ran, then it was the end: {status}"))
        }
        _ if !status.success() && tally.failures.is_empty() => {
            Some(format!("the test program ended with {status}"))
        }
        _ => None,
    };
    Ok(Ran { tally, complaint, took: began.elapsed() })
}

/// How many tests there are to run.
fn count(program: &Program<'_>, only: Option<&str>) -> anyhow::Result<u32> {
    let mut list = Command::new(&program.path);
    // Behind a slash are names of parts.
    let name = only.and_then(|only| only.split('/').next()).unwrap_or(".");
    list.current_dir(&program.folder).arg(format!("-test.list={name}"));
    let names = shell::output(&mut list)?;
    let tests = names.lines().filter(|line| line.starts_with("Test")).count();
    u32::try_from(tests).context("count the tests")
}

/// `go test -count=3` is `-test.count=3` to the program that it makes.
fn of_test_program(flag: &str) -> String {
    let name = flag.trim_start_matches('-');
    if name.len() == flag.len() || name.starts_with("test.") {
        return flag.to_owned();
    }
    format!("-test.{name}")
}

/// Of a thread of its own, so that silence does not stop the progress line.
fn lines(output: PipeReader) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::sync_channel(1024);
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn follow(
    lines: Receiver<io::Result<Vec<u8>>>,
    mut log: File,
    progress: &Progress,
) -> anyhow::Result<Reader> {
    let mut reader = Reader::default();
    let mut shown = Instant::now();
    loop {
        match lines.recv_timeout(LINE_EVERY) {
            Ok(line) => {
                let mut line = line.context("read what the tests say")?;
                reader.line(&String::from_utf8_lossy(&line));
                line.push(b'\n');
                log.write_all(&line).context("write the log of the tests")?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(reader),
        }
        progress.show(&reader, &mut shown);
    }
}

/// On a terminal one line that changes, elsewhere a line now and then.
struct Progress {
    bar: ProgressBar,
    expected: Option<u32>,
    began: Instant,
}

impl Progress {
    fn new(expected: Option<u32>) -> Progress {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress { bar, expected, began: Instant::now() }
    }

    fn show(&self, reader: &Reader, shown: &mut Instant) {
        if !self.bar.is_hidden() {
            self.bar.set_message(self.text(reader));
        } else if shown.elapsed() >= LINE_EVERY {
            println!("{} {} s", self.text(reader), self.began.elapsed().as_secs());
            *shown = Instant::now();
        }
    }

    fn text(&self, reader: &Reader) -> String {
        let counts = reader.whole();
        let of = self.expected.map(|expected| format!("/{expected}")).unwrap_or_default();
        let running = reader.running().unwrap_or("between two tests");
        format!("{}{of} tests, {} failed, {running}", counts.sum(), counts.failed)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::of_test_program;

    #[track_caller]
    fn check(flag: &str, expected: &str) {
        assert_eq!(of_test_program(flag), expected);
    }

    #[test]
    fn flags_of_go_test_become_those_of_its_program() {
        check("-count=3", "-test.count=3");
        check("--failfast", "-test.failfast");
        check("-test.short", "-test.short");
        // The value of a flag that stands apart.
        check("3", "3");
    }
}
