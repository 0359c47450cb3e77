//! A server process: its start, its log, its end. Knows nothing of what the server serves.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;

use anyhow::Context as _;

/// Ends when it is dropped. A dropped server in a failing test shows the end of its log.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// `folder` is the component's own; the process is named after it.
    pub(crate) fn start(
        folder: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Process> {
        Self::launch(folder, program, tied_to_us(program, arguments))
    }

    /// The same in `folder`, and it can be talked to.
    pub(crate) fn start_in(
        folder: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Process> {
        let mut command = tied_to_us(program, arguments);
        command.current_dir(folder).stdin(Stdio::piped());
        Self::launch(folder, program, command)
    }

    fn launch(folder: &Path, program: &Path, mut command: Command) -> anyhow::Result<Process> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder.with_extension("log");
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let errors = file.try_clone().with_context(|| format!("open {} twice", log.display()))?;
        command.stdout(file).stderr(errors);
        let child = spawn_from_keeper(command)
            .with_context(|| format!("start {name} ({})", program.display()))?;
        Ok(Process { name, child, log })
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let name = &self.name;
        let input = self.child.stdin.as_mut();
        let input = input.with_context(|| format!("{name} does not listen"))?;
        writeln!(input, "{line}").with_context(|| format!("say {line:?} to {name}"))
    }

    /// What it writes goes there.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// By name, as `kill` takes it.
    pub(crate) fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status();
        let status = status.with_context(|| format!("send {signal} to {}", self.name))?;
        anyhow::ensure!(status.success(), "send {signal} to {} ({pid}): {status}", self.name);
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `None` while it runs.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("ask whether {} runs", self.name))
    }

    pub(crate) fn end_of_log(&self) -> String {
        end_of_log(&self.log)
    }

    /// Time in user and kernel mode; `None` when the process has gone.
    pub(crate) fn cpu_ms(&self) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        // A hundred ticks a second (proc(5), USER_HZ).
        ticks.map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>().map(|ticks| ticks * 10)
    }

    /// Resident memory; `None` when the process has gone.
    pub(crate) fn memory_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Process {
    /// Without a grace period: nothing of a test's store is read again.
    fn drop(&mut self) {
        if thread::panicking() {
            show_threads(&self.name, self.pid());
        }
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            show(&self.log);
        }
    }
}

/// Prints what each thread is at, for somebody who looks at a server that did not answer: its state, where it waits in the kernel, its time.
#[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
fn show_threads(name: &str, pid: u32) {
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for folder in threads.map(|entry| entry.path()) {
        let (comm, wchan) = (read(folder.join("comm")), read(folder.join("wchan")));
        let stat = read(folder.join("stat"));
        // State, and ticks in user and kernel mode (proc(5)); the name before them may hold spaces.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |nth: usize| fields.get(nth).copied().unwrap_or("?");
        eprintln!("--- {name} {comm}: {} {wchan} {} {}", field(0), field(11), field(12));
    }
}

/// Prints the end of a log for somebody who looks at a failed test.
#[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
pub(crate) fn show(log: &Path) {
    eprintln!("{}", ending(log));
}

/// The end of a log under its name.
pub(crate) fn ending(log: &Path) -> String {
    format!("--- {} ends with\n{}", log.display(), end_of_log(log))
}

/// Enough to hold the reason of an end, little enough to be read.
const LAST_LINES: usize = 25;

fn end_of_log(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// A command that ends with this process. setpriv executes the program in its own place, so that the pid is the server's.
fn tied_to_us(program: &Path, arguments: impl IntoIterator<Item = String>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments).stdin(Stdio::null());
    command
}

struct Order {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

/// Starts a child from a thread that lives as long as this process does.
///
/// The kernel sends the signal of `--pdeathsig` when the *thread* that started the child ends. A test has a thread of its own,
/// and what tests share must outlive the test that started it.
fn spawn_from_keeper(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for mut order in inbox {
                // Who ordered may have given up.
                drop(order.reply.send(order.command.spawn()));
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes has gone");
    keeper.send(Order { command, reply }).map_err(|_closed| gone())?;
    answer.recv().map_err(|_closed| gone())?
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Process;

    #[test]
    fn a_process_outlives_the_thread_that_started_it_and_ends_with_its_value() {
        let folder = std::env::temp_dir().join(format!("testkit-{}", std::process::id()));
        let own = folder.clone();
        std::fs::create_dir_all(&folder).unwrap();
        let start = move || {
            let say = "echo here; exec sleep 60".to_owned();
            Process::start(&own.join("sleeper"), Path::new("/bin/sh"), ["-c".to_owned(), say])
        };
        let mut process = std::thread::spawn(start).join().unwrap().unwrap();
        assert_eq!(process.ended().unwrap(), None);
        assert!(process.memory_kib().is_some());
        let pid = process.pid();
        while process.end_of_log() != "here" {
            std::thread::yield_now();
        }
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
