//! cargo-deny: licences, banned crates and sources of everything in Cargo.lock. Owns the pinned
//! version and its installation; what is allowed stands in deny.toml.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::cargo::cargo;
use crate::check::status;
use crate::place;

/// Builds on the workspace's compiler; a newer one may add licences checks, so it is raised by hand.
const VERSION: &str = "0.20.2";

/// The advisories check is left out: it fetches a database, and `check` must give the same answer
/// on every day and without a network.
pub(crate) fn run(root: &Path) -> anyhow::Result<String> {
    let program = install(&place::cache()?)?;
    // The BPF programs have a lockfile of their own; what they link is shipped too.
    for manifest in ["Cargo.toml", "agent-ebpf/Cargo.toml"] {
        if root.join(manifest).exists() {
            let mut command = Command::new(&program);
            command.current_dir(root).args(["--locked", "--log-level", "error"]);
            command.args(["--config", "deny.toml", "--manifest-path", manifest, "check"]);
            // agent-ebpf names Debian's compiler, which set-up may not have installed yet; a list of
            // licences needs no particular one.
            command.env("RUSTC", "rustc");
            status(command.args(["bans", "licenses", "sources"]))?;
        }
    }
    Ok(String::new())
}

/// Installs the pinned version below `cache` unless it is there, and says where it is. Takes about
/// a minute: the debug profile builds in a quarter of the time and the program runs for seconds.
pub(crate) fn install(cache: &Path) -> anyhow::Result<PathBuf> {
    let tools = cache.join("tools");
    let program = tools.join("bin/cargo-deny");
    if is_pinned(&program) {
        return Ok(program);
    }
    println!("      installing cargo-deny {VERSION} into {}", tools.display());
    let arguments = ["install", "cargo-deny", "--version", VERSION, "--locked", "--quiet"];
    status(
        cargo(place::repo())
            .args(arguments)
            .args(["--profile", "dev", "--root"])
            .arg(&tools)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("CARGO_TARGET_DIR"),
    )
    .context("cargo-deny could not be installed")?;
    Ok(program)
}

fn is_pinned(program: &Path) -> bool {
    let answer = Command::new(program).arg("--version").output();
    answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).trim().ends_with(VERSION))
}
