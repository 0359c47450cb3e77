//! Runs one tier and counts it. A tier that breaks off counts as one failure, whatever it had passed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::build::{self, TEST_BINARY};
use super::libtest::{self, Tally};
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

/// Tables, properties, scenarios and parsers: `cargo test` over the workspace's default members.
pub(super) fn unit(filter: Option<&str>) -> anyhow::Result<Tally> {
    let mut cargo = build::cargo("test");
    cargo.arg("--no-fail-fast").args(filter);
    run_tests(cargo, "unit: cargo test")
}

/// The test kit's own tests, then those against the real components, all beside one shared apiserver.
pub(super) fn e2e(kubernetes: &Kubernetes, filter: Option<&str>) -> anyhow::Result<Tally> {
    let image = agent::image()?;
    let program = build::bench_servers()?;
    let logs = servers::logs()?;
    let programs = servers::programs(kubernetes)?;
    let shared = Servers::start(&program, &logs, &programs)?;
    let mut cargo = build::cargo("test");
    cargo.args(["--no-fail-fast", "-p", "testkit", "-p", "e2e"]).args(filter);
    // Each thread may have a control plane of its own, 600 MB and a core while it starts.
    cargo.args(["--", "--test-threads=2"]);
    if !filter.is_some_and(|filter| filter.contains(LONG)) {
        cargo.args(["--skip", LONG]);
    }
    cargo.envs(servers::environment(&logs, &programs));
    cargo.env("BERTH_E2E_KUBECONFIG", shared.kubeconfig());
    cargo.env("BERTH_E2E_AGENT_IMAGE", image);
    let tally = run_tests(cargo, "e2e: cargo test");
    // What tests measured; there is no file when none of those ran.
    print!("{}", fs::read_to_string(logs.join("figures")).unwrap_or_default());
    let mut tally = tally?;
    tally.add(parity(&programs, filter)?);
    Ok(tally)
}

/// The metastore and an etcd, told the same.
fn parity(programs: &OsStr, filter: Option<&str>) -> anyhow::Result<Tally> {
    let mut folders = env::split_paths(programs).map(|folder| folder.join("etcd"));
    let etcd = folders.find(|etcd| etcd.is_file()).context("no etcd among the programs")?;
    let mut cargo = build::cargo("test");
    cargo.args(["-p", "metastore", "--features", "parity", "--test", "it"]).args(filter);
    cargo.env("BERTH_ETCD", &etcd);
    let mut tally = run_tests(cargo, "e2e: cargo test -p metastore")?;
    let mut cargo = build::cargo("test");
    cargo.args(["-p", "control", "--features", "parity", "--test", "moving"]).args(filter);
    cargo.env("BERTH_ETCD", etcd);
    tally.add(run_tests(cargo, "e2e: cargo test -p control")?);
    Ok(tally)
}

/// Runs `cargo test`, shows what it says and counts it.
fn run_tests(mut cargo: Command, who: &str) -> anyhow::Result<Tally> {
    cargo.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = cargo.spawn().context("run cargo test")?;
    let stdout = child.stdout.take().expect("invariant: stdout was asked for as a pipe");
    let mut output = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("read cargo test's output")?;
        println!("{line}");
        output += &line;
        output.push('\n');
    }
    let succeeded = child.wait().context("wait for cargo test")?.success();
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

/// Cases on the real kernel, all in one boot.
pub(super) fn vm(
    files: &[(PathBuf, String)],
    kernel: Kernel,
    cases: &Cases,
    out: &Path,
) -> anyhow::Result<Tally> {
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
        vm::pass_through(stream, bytes);
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
    Ok(with_cases(with_breakage(libtest::read(&said), succeeded, &who), cases))
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
