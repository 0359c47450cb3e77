//! Load for a test: processes of the `guest-load` program, which join a cgroup themselves before they
//! begin, so that no cycle of theirs is ever counted elsewhere.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use model::CpuSet;

use crate::cgroup::TestCgroup;
use crate::process;

/// Starting a program beside a dozen hogs takes seconds under emulation.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running load; it is killed when dropped.
#[derive(Debug)]
pub struct Load {
    child: Child,
}

impl TestCgroup {
    /// One process of `threads` that never sleep, on `cpus` or wherever the cgroup allows.
    #[track_caller]
    pub fn spin(&self, threads: u32, cpus: Option<&CpuSet>) -> Load {
        self.load(cpus, &["spin", "--threads", &threads.to_string()])
    }

    /// One thread that works `work` of CPU time out of every `period`, as a service does that answers requests.
    #[track_caller]
    pub fn periodic(&self, period: Duration, work: Duration, cpus: Option<&CpuSet>) -> Load {
        let (period, work) = (period.as_micros().to_string(), work.as_micros().to_string());
        self.load(cpus, &["periodic", "--period-us", &period, "--work-us", &work])
    }

    /// One process that has written to this much memory and then sleeps.
    #[track_caller]
    pub fn hold_memory(&self, mebibytes: u32) -> Load {
        self.load(None, &["hold", "--mebibytes", &mebibytes.to_string()])
    }

    #[track_caller]
    fn load(&self, cpus: Option<&CpuSet>, kind: &[&str]) -> Load {
        let mut command = Command::new("guest-load");
        command.arg("--cgroup").arg(self.path());
        if let Some(cpus) = cpus {
            command.args(["--cpus", &cpus.to_string()]);
        }
        let child = command.args(kind).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let stdout = child.stdout.take().expect("invariant: stdout was asked for as a pipe");
        // Dropped and so killed when it does not start.
        let load = Load { child };
        let first_line = thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_len| line)
        });
        let said = process::join(&format!("{command:?} to start"), START_LIMIT, first_line);
        assert!(matches!(&said, Ok(line) if line == "ready\n"), "{command:?} says {said:?}");
        load
    }
}

impl Load {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        process::reap(&mut self.child);
    }
}
