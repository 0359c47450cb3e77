//! Runs one tier and counts it. A tier that breaks off counts as one failure, whatever it had passed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;

use super::build::{self, TEST_BINARY};
use super::libtest::{self, Tally};
use crate::vm::{self, Guest, Kernel, Stream};

/// Long enough for every case at four times its quiet time; a hang is found, a busy machine is not punished.
const VM_LIMIT: Duration = Duration::from_secs(12 * 60);
/// For one case. Every wait in a case ends after 30 s with a message; the longest case takes 40 s on a quiet host.
const CASE_LIMIT: Duration = Duration::from_secs(240);

/// Tables, properties, scenarios and parsers: `cargo test` over the workspace's default members.
pub(super) fn unit(filter: Option<&str>) -> anyhow::Result<Tally> {
    let mut cargo = build::cargo("test");
    cargo.arg("--no-fail-fast").args(filter).stdin(Stdio::null()).stdout(Stdio::piped());
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
    Ok(with_breakage(libtest::read(&output), succeeded, "unit: cargo test"))
}

/// The cases to run in one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cases {
    /// All but the long ones.
    All,
    /// Those whose name contains `smoke_`.
    Smoke,
    /// Those whose name contains `soak_`, for `cargo xtask soak long`.
    Long,
    /// Those whose name contains this, which contains `nopsi_`, in a guest that is booted with `psi=0`.
    WithoutPsi(String),
    /// Those whose name contains this.
    Named(String),
}

const LONG: &str = "soak_";
const WITHOUT_PSI: &str = "nopsi_";

impl Cases {
    /// Every case that needs a guest without pressure stall information.
    pub(crate) fn without_psi() -> Cases {
        Cases::WithoutPsi(WITHOUT_PSI.to_owned())
    }

    /// What a filter on the command line asks for.
    pub(super) fn named(part: &str) -> Cases {
        match part.contains(WITHOUT_PSI) {
            true => Cases::WithoutPsi(part.to_owned()),
            false => Cases::Named(part.to_owned()),
        }
    }

    /// Arguments of the test binary.
    fn choice(&self) -> Vec<&str> {
        match self {
            Cases::All => vec!["--skip", LONG, "--skip", WITHOUT_PSI],
            Cases::Smoke => vec!["smoke_", "--skip", WITHOUT_PSI],
            Cases::Long => vec![LONG],
            Cases::WithoutPsi(part) => vec![part],
            Cases::Named(part) => vec![part, "--skip", WITHOUT_PSI],
        }
    }

    fn kernel_parameters(&self) -> Vec<String> {
        match self {
            Cases::WithoutPsi(_) => vec!["psi=0".to_owned()],
            Cases::All | Cases::Smoke | Cases::Long | Cases::Named(_) => Vec::new(),
        }
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
    guest.parameters = cases.kernel_parameters();
    guest.timeout = VM_LIMIT;
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
    Ok(with_breakage(
        libtest::read(&said),
        succeeded,
        &format!("vm {}: the test binary", kernel.series()),
    ))
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
    use super::Cases;

    #[track_caller]
    fn check(cases: &Cases, arguments: &[&str], parameters: &[&str]) {
        assert_eq!(cases.choice(), arguments);
        assert_eq!(cases.kernel_parameters(), parameters);
    }

    #[test]
    fn a_case_runs_in_the_guest_it_needs() {
        check(&Cases::All, &["--skip", "soak_", "--skip", "nopsi_"], &[]);
        check(&Cases::without_psi(), &["nopsi_"], &["psi=0"]);
        check(&Cases::named("nopsi_doctor"), &["nopsi_doctor"], &["psi=0"]);
        check(&Cases::named("agent_"), &["agent_", "--skip", "nopsi_"], &[]);
    }
}
