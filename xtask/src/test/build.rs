//! Builds everything the tiers run, in one profile so that each dependency is compiled once, and says
//! where the programs lie.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::Deserialize;

use crate::cargo::{self, MESSAGES};
use crate::{compiled, place};

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

const CI: &str = "ci";

fn cargo_in(profile: Profile, subcommand: &str) -> Command {
    let name = match profile {
        Profile::Ci => CI,
        Profile::Release => "release",
    };
    let mut cargo = cargo::cargo(place::repo());
    cargo.arg(subcommand).args(["--profile", name]);
    cargo
}

/// Those of the node agent called `names`.
pub(crate) fn agent_programs<const N: usize>(
    profile: Profile,
    names: [&str; N],
) -> anyhow::Result<Vec<PathBuf>> {
    let built = match profile {
        Profile::Ci => everything()?,
        Profile::Release => release(&["-p", "agent", "-p", "cli", "--bins"])?,
    };
    names.iter().map(|name| built.program(name)).collect()
}

/// The programs and the test binary for the guest: (host path, guest path).
pub(super) fn guest_files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let built = everything()?;
    let test = built.test("agent/vmtest", "it")?;
    let mut files = vec![(test.path.clone(), format!("/usr/local/bin/{TEST_BINARY}"))];
    for name in GUEST_PROGRAMS {
        files.push((built.program(name)?, format!("/usr/local/bin/{name}")));
    }
    Ok(files)
}

/// The program that keeps the apiserver which tests of the e2e tier share; with it the agent, its CLI and the control plane, which
/// those tests find beside themselves.
pub(crate) fn bench_servers() -> anyhow::Result<PathBuf> {
    everything()?.program("bench-servers")
}

/// The program of the services.
pub(crate) fn control_program(profile: Profile) -> anyhow::Result<PathBuf> {
    let built = match profile {
        Profile::Ci => everything()?,
        Profile::Release => release(&["--bin", CONTROL_PROGRAM])?,
    };
    built.program(CONTROL_PROGRAM)
}

/// Tests beside a real etcd are behind features; see the manifests.
pub(crate) const FEATURES: [&str; 2] = ["--features", "metastore/parity,control/parity"];

/// Every program and every test of the workspace, in one command: cargo gives a dependency the features that all packages of a command ask
/// for together, so that each other choice of packages would compile most dependencies once more.
pub(super) fn everything() -> anyhow::Result<Built> {
    let mut build = cargo("build");
    build
        .args(["--workspace", "--exclude", "xtask", "--bins", "--tests"])
        .args(FEATURES)
        .arg(MESSAGES);
    let messages = compiled::run(&mut build, CI).context("build what the tests run")?;
    Ok(executables(&messages))
}

/// Those of xtask, in the profile that it is run from.
pub(super) fn own_tests(filter: Option<&str>) -> Command {
    let mut cargo = cargo::cargo(place::repo());
    cargo.args(["test", "--quiet", "--package", "xtask"]).args(filter);
    cargo
}

fn release(what: &[&str]) -> anyhow::Result<Built> {
    let mut build = cargo_in(Profile::Release, "build");
    build.args(what).arg(MESSAGES);
    let messages =
        cargo::messages(&mut build).with_context(|| format!("build {}", what.join(" ")))?;
    Ok(executables(&messages))
}

const CONTROL_PROGRAM: &str = "berth-control";

/// What the test binary is called in the guest.
pub(super) const TEST_BINARY: &str = "vmtest-it";

/// What cargo has made.
#[derive(Debug)]
pub(super) struct Built(Vec<Executable>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Executable {
    /// Where the manifest of its package is: tests are run there.
    pub(super) folder: PathBuf,
    /// Of the target: a program, `it`, or the name of a library for its unit tests.
    pub(super) name: String,
    pub(super) is_test: bool,
    pub(super) path: PathBuf,
}

impl Built {
    /// All of tests, in the order of their packages.
    pub(super) fn tests(&self) -> Vec<&Executable> {
        let mut tests: Vec<_> = self.0.iter().filter(|one| one.is_test).collect();
        tests.sort_by_key(|one| (&one.folder, &one.name));
        tests
    }

    /// Those called `name` of the package in a folder of the repository.
    pub(super) fn test(&self, folder: &str, name: &str) -> anyhow::Result<&Executable> {
        let mut tests = self.0.iter().filter(|one| one.is_test);
        let found = tests.find(|one| one.folder.ends_with(folder) && one.name == name);
        found.with_context(|| format!("cargo built no tests {name} of {folder}"))
    }

    pub(super) fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let Some(found) = self.0.iter().find(|one| !one.is_test && one.name == name) else {
            bail!("cargo built no program called {name}")
        };
        Ok(found.path.clone())
    }
}

#[derive(Debug, Deserialize)]
struct Message {
    manifest_path: PathBuf,
    target: Target,
    profile: Profiled,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Profiled {
    test: bool,
}

/// Every executable that cargo reported.
fn executables(messages: &str) -> Built {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let executable = |message: Message| {
        let folder = message.manifest_path.parent()?.to_owned();
        Some(Executable {
            folder,
            name: message.target.name,
            is_test: message.profile.test,
            path: message.executable?,
        })
    };
    Built(parsed.filter_map(executable).collect())
}

#[cfg(test)]
mod tests {
    use super::{Built, Executable, executables};

    #[test]
    fn only_lines_with_an_executable_count() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/b/agent/model/Cargo.toml","target":{"name":"model"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/b/agent/vmtest/Cargo.toml","target":{"name":"it"},"profile":{"test":true},"executable":"/t/ci/deps/it-1"}
{"reason":"compiler-artifact","manifest_path":"/b/agent/cli/Cargo.toml","target":{"name":"berth"},"profile":{"test":true},"executable":"/t/ci/deps/berth-1"}
{"reason":"compiler-artifact","manifest_path":"/b/agent/cli/Cargo.toml","target":{"name":"berth"},"profile":{"test":false},"executable":"/t/ci/berth"}
{"reason":"build-finished","success":true}
prose
"#;
        let one = |folder: &str, name: &str, is_test, path: &str| Executable {
            folder: folder.into(),
            name: name.to_owned(),
            is_test,
            path: path.into(),
        };
        let built = executables(messages);
        let expected = [
            one("/b/agent/vmtest", "it", true, "/t/ci/deps/it-1"),
            one("/b/agent/cli", "berth", true, "/t/ci/deps/berth-1"),
            one("/b/agent/cli", "berth", false, "/t/ci/berth"),
        ];
        assert_eq!(built.0, expected);
        check(&built, "berth", "/t/ci/berth");
        assert!(built.program("it").is_err(), "a test is no program");
        built.test("agent/vmtest", "it").expect("it was built");
        built.test("agent/cli", "it").expect_err("it has none");
    }

    fn check(built: &Built, program: &str, path: &str) {
        assert_eq!(built.program(program).expect("it was built"), std::path::Path::new(path));
    }
}
