//! Runs the tiers of the host and counts them; that of the guests is in `guest`. A tier that breaks off counts as one failure, whatever it
//! had passed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::build::{self, Executable};
use super::libtest::{self, Tally};
use super::metastore;
use crate::kube::agent;
use crate::kube::servers::{self, Servers};
use crate::setup::kubernetes::Kubernetes;

/// Folders of packages whose tests need more than this machine has by itself.
const NOT_UNIT: [&str; 3] = ["agent/vmtest", "controlplane/testkit", "controlplane/e2e"];

/// Tables, properties, scenarios and parsers, and the examples in documentation.
pub(super) fn unit(filter: Option<&str>) -> anyhow::Result<Tally> {
    let built = build::everything()?;
    let is_unit = |test: &&Executable| {
        let is_other = NOT_UNIT.iter().any(|folder| test.folder.ends_with(folder));
        !is_other && !metastore::is_parity(test)
    };
    let mut tally = Tally::default();
    for test in built.tests().into_iter().filter(is_unit) {
        let mut command = command(test);
        command.args(filter);
        tally.add(run_tests(command, &test.path.display().to_string(), UNIT_LIMIT)?);
    }
    tally.add(run_tests(build::own_tests(filter), "unit: cargo test --package xtask", UNIT_LIMIT)?);
    let mut examples = build::cargo("test");
    examples
        .args(["--quiet", "--doc", "--workspace", "--exclude", "xtask"])
        .args(build::FEATURES)
        .args(filter);
    tally.add(run_tests(examples, "unit: cargo test --doc", UNIT_LIMIT)?);
    Ok(tally)
}

/// The test kit's own tests, then those against the real components, all beside one shared apiserver.
pub(super) fn e2e(kubernetes: &Kubernetes, filter: Option<&str>) -> anyhow::Result<Tally> {
    let image = agent::image()?;
    let built = build::everything()?;
    let program = built.program("bench-servers")?;
    let logs = servers::logs()?;
    let programs = servers::programs(kubernetes)?;
    let shared = Servers::start(&program, &logs, &programs)?;
    let (mut tally, is_long) = (Tally::default(), filter.is_some_and(|it| it.contains(LONG)));
    for (folder, name) in [("controlplane/testkit", "testkit"), ("controlplane/e2e", "it")] {
        let mut command = command(built.test(folder, name)?);
        // One after the other. Emulated CPUs spin for one another, the more the fewer real ones they have: two nodes of eight CPUs at a time
        // took 310 s on two cores for what takes 144 s in turn, and pods started after 30 s instead of 8.
        command.args(filter).arg("--test-threads=1");
        if !is_long {
            command.args(["--skip", LONG]);
        }
        command.envs(servers::environment(&logs, &programs));
        command.env("BERTH_E2E_KUBECONFIG", shared.kubeconfig());
        command.env("BERTH_E2E_AGENT_IMAGE", &image);
        let limit = if is_long { LONG_E2E_LIMIT } else { E2E_LIMIT };
        tally.add(run_tests(command, folder, limit)?);
    }
    // What tests measured; there is no file when none of those ran.
    print!("{}", fs::read_to_string(logs.join("figures")).unwrap_or_default());
    if !is_long {
        tally.add(metastore::parity(&built, &programs, None, filter)?);
    }
    Ok(tally)
}

/// Far longer than the slowest of them takes beside other work; whoever is there then does not end by itself.
const UNIT_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Each case has its own limits; this is for what they do not see.
const E2E_LIMIT: Duration = Duration::from_secs(45 * 60);
const LONG_E2E_LIMIT: Duration = Duration::from_secs(3 * 3600);

/// As `cargo test` runs it.
pub(super) fn command(test: &Executable) -> Command {
    let mut command = Command::new(&test.path);
    command.current_dir(&test.folder).env("CARGO_MANIFEST_DIR", &test.folder);
    command
}

/// Runs tests, shows what they say and counts them. Those that do not end in time are ended, and what they were at is in what they said.
pub(super) fn run_tests(mut tests: Command, who: &str, limit: Duration) -> anyhow::Result<Tally> {
    println!("     Running {who}");
    tests.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = tests.spawn().with_context(|| format!("run {who}"))?;
    let stdout = child.stdout.take().expect("invariant: stdout was asked for as a pipe");
    let (ended, watch) = mpsc::channel::<()>();
    let (pid, subject) = (child.id(), who.to_owned());
    let watching = thread::spawn(move || {
        if watch.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            println!("{subject}: did not end within {} min and is ended", limit.as_secs() / 60);
            // `child` is waited for after this thread, so the number is still its own.
            drop(Command::new("kill").arg(pid.to_string()).status());
        }
    });
    let mut output = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.with_context(|| format!("read what {who} says"))?;
        println!("{line}");
        output += &line;
        output.push('\n');
    }
    drop(ended);
    // It does nothing that could panic.
    let _ = watching.join();
    let succeeded = child.wait().with_context(|| format!("wait for {who}"))?.success();
    Ok(with_breakage(libtest::read(&output), succeeded, who))
}

/// The word in the names of cases for `cargo xtask soak`.
pub(super) const LONG: &str = "soak_";

pub(super) fn with_breakage(mut tally: Tally, succeeded: bool, who: &str) -> Tally {
    if !succeeded && tally.failed == 0 {
        println!("{who} broke off; this counts as one failure");
        tally.failed = 1;
    }
    tally
}
