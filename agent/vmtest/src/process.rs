//! Other programs, never waited for without a limit: run to their end, reaped after a kill, and where their threads
//! stand in the kernel when they do not end.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::wait::{wait_for, wait_until};

/// A killed process dies on its own CPU time: in a group held down to a few milliseconds a period, with eight threads
/// and under emulation, more than 10 s were seen.
const DEATH_LIMIT: Duration = Duration::from_secs(30);

/// Runs a command to its end and gives back what it said.
///
/// # Panics
/// When it does not end within `limit`, with what it had said by then and where its threads stand.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < limit => thread::sleep(Duration::from_millis(5)),
            other => {
                let stacks = stacks(child.id());
                reap(&mut child);
                let said = String::from_utf8_lossy(&collect(stdout)).into_owned();
                panic!("waited {limit:?} for {command:?}: {other:?}\n{stacks}it said {said:?}");
            }
        }
    };
    Output { status, stdout: collect(stdout), stderr: collect(stderr) }
}

/// Reads on a thread, so that a full pipe stops nobody.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is worth having.
            let _rest_lost = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// What a pipe brought. A grandchild may hold it open: then nothing is waited for.
fn collect(reader: JoinHandle<Vec<u8>>) -> Vec<u8> {
    let began = Instant::now();
    while !reader.is_finished() && began.elapsed() < DEATH_LIMIT {
        thread::sleep(Duration::from_millis(1));
    }
    if reader.is_finished() { reader.join().unwrap_or_default() } else { Vec::new() }
}

/// Kills a child and takes its exit. While a test is failing already, it is tried and not insisted on.
#[track_caller]
pub fn reap(child: &mut Child) {
    // It may have ended already.
    drop(child.kill());
    let began = Instant::now();
    let mut gone = || !matches!(child.try_wait(), Ok(None));
    while !gone() && began.elapsed() < DEATH_LIMIT {
        thread::sleep(Duration::from_millis(1));
    }
    if !thread::panicking() && !gone() {
        panic!("pid {} is killed and does not end\n{}", child.id(), stacks(child.id()));
    }
}

/// Waits for a thread of the test.
///
/// # Panics
/// With what the thread panicked with, or with `what` when `limit` passes first.
#[track_caller]
pub fn join<T>(what: &str, limit: Duration, thread: JoinHandle<T>) -> T {
    wait_until(what, limit, || thread.is_finished());
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Waits until a child ends by itself.
///
/// # Panics
/// With `what` when `limit` passes first.
#[track_caller]
pub fn exit_code(what: &str, limit: Duration, child: &mut Child) -> i32 {
    let status = wait_for(what, limit, || child.try_wait().ok().flatten());
    status.code().unwrap_or(-1)
}

/// Name, state and kernel stack of every thread of a process, one paragraph each.
pub fn stacks(pid: u32) -> String {
    let mut text = String::new();
    let folder = format!("/proc/{pid}/task");
    for task in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let status = read("status");
        let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or("State: gone");
        // Writing to a String cannot fail.
        let _written = write!(text, "{} {state}\n{}", read("comm").trim(), read("stack"));
    }
    text
}
