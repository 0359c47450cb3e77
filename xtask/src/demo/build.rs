//! Builds the programs of the demo and the benches, and calibrates the host.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;

use crate::cargo::{MESSAGES, cargo, messages};
use crate::place;
use crate::setup::shell;

/// Every program that goes into the guest.
const PROGRAMS: [&str; 5] = ["berth-load", "berth-demo", "berth-bench", "berth-agent", "berth"];

/// Builds them; answers name and path of every executable.
pub(crate) fn programs() -> anyhow::Result<Vec<(String, PathBuf)>> {
    println!("build: berth-agent, berth and the loads (profile ci)");
    of(&["bench", "agent", "cli"], "ci")
}

/// Those of other packages.
pub(crate) fn of(packages: &[&str], profile: &str) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut cargo = cargo(place::repo());
    cargo.args(["build", "--profile", profile, "--bins"]);
    cargo.args(packages.iter().flat_map(|package| ["-p", package]));
    cargo.arg(MESSAGES);
    let said =
        messages(&mut cargo).with_context(|| format!("build the programs of {packages:?}"))?;
    Ok(executables(&said))
}

pub(crate) fn find(programs: &[(String, PathBuf)], name: &str) -> anyhow::Result<PathBuf> {
    let found = programs.iter().find(|(program, _)| program == name);
    Ok(found.with_context(|| format!("cargo built no program called {name}"))?.1.clone())
}

/// Where each program lies here and in the guest.
pub(crate) fn guest_files(
    programs: &[(String, PathBuf)],
) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let place = |name: &&str| Ok((find(programs, name)?, format!("/usr/local/bin/{name}")));
    PROGRAMS.iter().map(place).collect()
}

/// How fast this machine is without an emulator.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Native {
    pub(crate) agent_like_rounds_per_s: f64,
}

pub(crate) fn calibrate(load: &Path) -> anyhow::Result<Native> {
    let text = shell::output(Command::new(load).arg("calibrate"))?;
    serde_json::from_str(&text).with_context(|| format!("berth-load calibrate said {text:?}"))
}

#[derive(Debug, Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

fn executables(messages: &str) -> Vec<(String, PathBuf)> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    parsed.filter_map(|message| Some((message.target?.name, message.executable?))).collect()
}

#[cfg(test)]
mod tests {
    use super::{executables, find};

    #[test]
    fn programs_are_found_by_name() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"model"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"berth"},"executable":"/t/ci/berth"}
prose
"#;
        let programs = executables(messages);
        assert_eq!(find(&programs, "berth").unwrap(), std::path::Path::new("/t/ci/berth"));
        let error = find(&programs, "model").unwrap_err();
        assert_eq!(error.to_string(), "cargo built no program called model");
    }
}
