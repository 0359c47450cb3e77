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
const VM_LIMIT: Duration = Duration::from_secs(20 * 60);

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
    /// Those whose name contains this.
    Named(String),
}

const LONG: &str = "soak_";

/// Cases on the real kernel, all in one boot.
pub(super) fn vm(
    files: &[(PathBuf, String)],
    kernel: Kernel,
    cases: &Cases,
    out: &Path,
) -> anyhow::Result<Tally> {
    let mut guest = Guest::new(&[TEST_BINARY, "--test-threads=1", "--color=never"]);
    let choice: &[&str] = match cases {
        Cases::All => &["--skip", LONG],
        Cases::Smoke => &["smoke_"],
        Cases::Long => &[LONG],
        Cases::Named(part) => &[part],
    };
    guest.command.extend(choice.iter().map(|&word| word.to_owned()));
    guest.kernel = kernel;
    guest.files = files.to_vec();
    guest.timeout = VM_LIMIT;
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
            println!("vm {}: {error:#}", kernel.series());
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
