//! Runs one tier and counts it. A tier that breaks off counts as one failure, whatever it had passed.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::build::{self, Executable, TEST_BINARY};
use super::libtest::{self, Tally};
use super::metastore;
use crate::kube::agent;
use crate::kube::servers::{self, Servers};
use crate::setup::kubernetes::Kubernetes;
use crate::vm::{self, Clock, Guest, Kernel, Stream};

/// Long enough for every case at four times its quiet time; a hang is found, a busy machine is not punished.
const VM_LIMIT: Duration = Duration::from_secs(12 * 60);
/// The same for the long ones.
const LONG_LIMIT: Duration = Duration::from_secs(30 * 60);
/// For one case. Every wait in a case ends after 30 s with a message; the longest case takes 40 s on a quiet host.
const CASE_LIMIT: Duration = Duration::from_secs(240);

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
        // Each thread may have a control plane of its own, 600 MB and a core while it starts.
        command.args(filter).arg("--test-threads=2");
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

/// A guest unlike the others, and the cases that need it: those with a certain word in their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// Booted with `psi=0`: no pressure stall information.
    NoPsi,
    /// In virtual time: for measurements that must not depend on how busy the host is.
    Exact,
}

impl Special {
    const ALL: [Special; 2] = [Special::NoPsi, Special::Exact];

    const fn word(self) -> &'static str {
        match self {
            Special::NoPsi => "nopsi_",
            Special::Exact => "exact_",
        }
    }

    fn equip(self, guest: &mut Guest) {
        match self {
            Special::NoPsi => guest.parameters.push("psi=0".to_owned()),
            Special::Exact => guest.clock = Clock::Virtual,
        }
    }
}

/// The cases to run in one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cases {
    /// All but the long ones and those of a special guest.
    All,
    /// Those whose name contains `smoke_`.
    Smoke,
    /// Those whose name contains `soak_`, for `cargo xtask soak long`.
    Long,
    /// All of a special guest.
    Of(Special),
    /// Those whose name contains this.
    Named(String),
}

/// The word in the names of cases for `cargo xtask soak`.
pub(super) const LONG: &str = "soak_";

impl Cases {
    /// Every case of `test`, a guest each.
    pub(crate) fn every() -> Vec<Cases> {
        [Cases::All].into_iter().chain(Special::ALL.map(Cases::Of)).collect()
    }

    /// The guest that these cases need, if it is no ordinary one.
    fn special(&self) -> Option<Special> {
        match self {
            Cases::All | Cases::Smoke | Cases::Long => None,
            Cases::Of(special) => Some(*special),
            Cases::Named(part) => Special::ALL.into_iter().find(|it| part.contains(it.word())),
        }
    }

    /// Arguments of the test binary.
    fn choice(&self) -> Vec<&str> {
        let mut choice = match self {
            Cases::All => vec!["--skip", LONG],
            Cases::Smoke => vec!["smoke_"],
            Cases::Long => vec![LONG],
            Cases::Of(special) => vec![special.word()],
            Cases::Named(part) if part.contains(LONG) => vec![part.as_str()],
            Cases::Named(part) => vec![part.as_str(), "--skip", LONG],
        };
        let others = Special::ALL.into_iter().filter(|it| Some(*it) != self.special());
        choice.extend(others.flat_map(|it| ["--skip", it.word()]));
        choice
    }
}

/// Whether what a guest says is shown at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Now,
    Later,
}

/// Cases on the real kernel, all in one boot.
pub(super) fn vm(
    files: &[(PathBuf, String)],
    kernel: Kernel,
    cases: &Cases,
    out: &Path,
) -> anyhow::Result<Tally> {
    boot(files, kernel, cases, out, Show::Now).map(|(tally, _)| tally)
}

/// The cases in virtual time beside something else: they do not mind who computes too, and their guest has one CPU.
pub(super) struct Beside(thread::JoinHandle<anyhow::Result<(Tally, String)>>);

impl Beside {
    pub(super) const CASES: Cases = Cases::Of(Special::Exact);

    pub(super) fn begin(files: Vec<(PathBuf, String)>, kernel: Kernel, out: PathBuf) -> Beside {
        let boot = move || boot(&files, kernel, &Beside::CASES, &out, Show::Later);
        Beside(thread::spawn(boot))
    }

    /// Waits for its end, and shows all that it has said.
    pub(super) fn end(self) -> anyhow::Result<Tally> {
        let ended = self.0.join();
        let (tally, said) = ended.map_err(|_panic| anyhow::anyhow!("its thread panicked"))??;
        println!("{said}");
        Ok(tally)
    }
}

/// And what it has said.
fn boot(
    files: &[(PathBuf, String)],
    kernel: Kernel,
    cases: &Cases,
    out: &Path,
    show: Show,
) -> anyhow::Result<(Tally, String)> {
    let mut guest = Guest::new(&[TEST_BINARY, "--test-threads=1", "--color=never"]);
    guest.command.extend(cases.choice().into_iter().map(str::to_owned));
    guest.kernel = kernel;
    guest.files = files.to_vec();
    if let Some(special) = cases.special() {
        special.equip(&mut guest);
    }
    guest.timeout = if *cases == Cases::Long { LONG_LIMIT } else { VM_LIMIT };
    guest.silence = Some(CASE_LIMIT);
    guest.out = Some(out.join(kernel.series()));
    let mut output = Vec::new();
    let mut errors = Vec::new();
    let ended = vm::boot(&guest, &mut |stream, bytes| {
        if show == Show::Now {
            vm::pass_through(stream, bytes);
        }
        match stream {
            Stream::Stdout => output.extend_from_slice(bytes),
            Stream::Stderr => errors.extend_from_slice(bytes),
        }
    });
    std::io::stdout().flush().context("write to stdout")?;
    let said =
        format!("{}\n{}", String::from_utf8_lossy(&output), String::from_utf8_lossy(&errors));
    let succeeded = match ended {
        Ok(ended) => ended.exit_code == 0,
        Err(error) => {
            println!("\nvm {}: {error:#}", kernel.series());
            if let Some(case) = libtest::running(&String::from_utf8_lossy(&output)) {
                println!("vm {}: {case} was running and did not end", kernel.series());
            }
            false
        }
    };
    let who = format!("vm {}: the test binary", kernel.series());
    let tally = with_cases(with_breakage(libtest::read(&said), succeeded, &who), cases);
    Ok((tally, said))
}

/// A choice of ours that chooses nothing is a mistake of ours; a person's may match in another tier.
fn with_cases(mut tally: Tally, cases: &Cases) -> Tally {
    let is_ours = !matches!(cases, Cases::Named(_));
    if is_ours && tally.passed + tally.failed + tally.skipped == 0 {
        println!("{cases:?} are no cases at all; this counts as one failure");
        tally.failed = 1;
    }
    tally
}

fn with_breakage(mut tally: Tally, succeeded: bool, who: &str) -> Tally {
    if !succeeded && tally.failed == 0 {
        println!("{who} broke off; this counts as one failure");
        tally.failed = 1;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{Cases, Special, Tally, with_cases};

    #[track_caller]
    fn check(cases: &Cases, arguments: &str, special: Option<Special>) {
        assert_eq!(cases.choice().join(" "), arguments);
        assert_eq!(cases.special(), special);
    }

    #[test]
    fn a_set_of_cases_without_a_case_fails() {
        let one = Tally { passed: 1, ..Tally::default() };
        assert_eq!(with_cases(Tally::default(), &Cases::Long).failed, 1);
        assert_eq!(with_cases(Tally::default(), &Cases::Of(Special::NoPsi)).failed, 1);
        assert_eq!(with_cases(Tally::default(), &Cases::Named("x".to_owned())).failed, 0);
        assert_eq!(with_cases(one, &Cases::Long).failed, 0);
    }

    #[test]
    fn a_case_runs_in_the_guest_it_needs() {
        let named = |part: &str| Cases::Named(part.to_owned());
        let no_psi = Some(Special::NoPsi);
        check(&Cases::All, "--skip soak_ --skip nopsi_ --skip exact_", None);
        check(&Cases::Of(Special::Exact), "exact_ --skip nopsi_", Some(Special::Exact));
        check(&named("nopsi_doctor"), "nopsi_doctor --skip soak_ --skip exact_", no_psi);
        check(&named("agent_"), "agent_ --skip soak_ --skip nopsi_ --skip exact_", None);
        check(&named("soak_a"), "soak_a --skip nopsi_ --skip exact_", None);
    }
}
