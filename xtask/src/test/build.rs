//! Builds everything the tiers run, in one profile so that each dependency is compiled once, and says
//! where the programs lie.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use serde::Deserialize;

use crate::place;

/// Programs that go into the guest beside the tests.
pub(super) const GUEST_PROGRAMS: [&str; 3] = ["berth-agent", "berth", "guest-load"];

/// A profile of the workspace for programs that leave the build output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// What the tests run
    Ci,
    #[default]
    Release,
}

/// A cargo command in the profile of the tests. `ci` is a release profile; the checks of a debug build are what
/// tests want on top.
pub(super) fn cargo(subcommand: &str) -> Command {
    cargo_in(Profile::Ci, subcommand)
}

fn cargo_in(profile: Profile, subcommand: &str) -> Command {
    let name = match profile {
        Profile::Ci => "ci",
        Profile::Release => "release",
    };
    let mut cargo = Command::new("cargo");
    cargo.current_dir(place::repo()).arg(subcommand).args(["--profile", name]);
    cargo
}

/// Those of the node agent called `names`.
pub(crate) fn agent_programs<const N: usize>(
    profile: Profile,
    names: [&str; N],
) -> anyhow::Result<Vec<PathBuf>> {
    let mut build = cargo_in(profile, "build");
    let messages = "--message-format=json-render-diagnostics";
    build.args([messages, "-p", "agent", "-p", "cli", "--bins"]);
    let built = artifacts(&mut build)?;
    names.iter().map(|name| find(&built, name)).collect()
}

/// The programs and the test binary for the guest: (host path, guest path).
pub(super) fn guest_files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut build = cargo("test");
    build.args([
        "--no-run",
        "--message-format=json-render-diagnostics",
        "-p",
        "vmtest",
        "--test",
        "it",
    ]);
    let tests = artifacts(&mut build)?;
    let mut build = cargo("build");
    build.args([
        "--message-format=json-render-diagnostics",
        "-p",
        "vmtest",
        "-p",
        "agent",
        "-p",
        "cli",
        "--bins",
    ]);
    let programs = artifacts(&mut build)?;
    let mut files = vec![(find(&tests, "it")?, format!("/usr/local/bin/{TEST_BINARY}"))];
    for name in GUEST_PROGRAMS {
        files.push((find(&programs, name)?, format!("/usr/local/bin/{name}")));
    }
    Ok(files)
}

/// The program that keeps the apiserver which tests of the e2e tier share; with it the agent, its CLI and the control plane, which
/// those tests find beside themselves.
pub(crate) fn bench_servers() -> anyhow::Result<PathBuf> {
    let mut build = cargo("build");
    build.args(["--message-format=json-render-diagnostics", "-p", "testkit"]);
    build.args(["-p", "agent", "-p", "cli", "-p", "control", "--bins"]);
    find(&artifacts(&mut build)?, "bench-servers")
}

/// The program of the services.
pub(crate) fn control_program(profile: Profile) -> anyhow::Result<PathBuf> {
    let mut build = cargo_in(profile, "build");
    build.args(["--message-format=json-render-diagnostics", "--bin", CONTROL_PROGRAM]);
    find(&artifacts(&mut build)?, CONTROL_PROGRAM)
}

const CONTROL_PROGRAM: &str = "berth-control";

/// What the test binary is called in the guest.
pub(super) const TEST_BINARY: &str = "vmtest-it";

#[derive(Debug, Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

fn artifacts(cargo: &mut Command) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let output =
        cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("run cargo")?;
    ensure!(output.status.success(), "cargo could not build what the tests run");
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(executables(&text))
}

/// Target name and path of every executable cargo reported.
fn executables(messages: &str) -> Vec<(String, PathBuf)> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    parsed.filter_map(|message| Some((message.target?.name, message.executable?))).collect()
}

fn find(artifacts: &[(String, PathBuf)], name: &str) -> anyhow::Result<PathBuf> {
    let Some((_, path)) = artifacts.iter().find(|(target, _)| target == name) else {
        bail!("cargo built no program called {name}")
    };
    Ok(Path::new(path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::executables;

    #[test]
    fn only_lines_with_an_executable_count() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"model"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"it"},"executable":"/t/ci/deps/it-1"}
{"reason":"build-finished","success":true}
prose
"#;
        assert_eq!(executables(messages), [("it".to_owned(), "/t/ci/deps/it-1".into())]);
    }
}
