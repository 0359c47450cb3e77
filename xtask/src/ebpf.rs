//! `cargo xtask ebpf`: builds `agent-ebpf` for the BPF target and puts the object where `agent/probe`
//! embeds it from. Owns the tool chain's choice and a clean environment; the programs are in agent-ebpf.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::place;
use crate::setup::{self, bpf, shell};

const TARGET: &str = "bpfel-unknown-none";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Build even when no source changed
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.force && stamp_path().exists() {
        fs::remove_file(stamp_path()).context("forget the last build")?;
    }
    match ensure_built()? {
        Built::Now => println!("ebpf: built {}", object_path().display()),
        Built::Before => println!("ebpf: {} is up to date", object_path().display()),
        Built::NoSources => println!("ebpf: agent-ebpf has no programs"),
    }
    Ok(())
}

/// What [`ensure_built`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Built {
    Now,
    Before,
    NoSources,
}

/// Where the object lies: `agent/probe` embeds it from here.
pub(crate) fn object_path() -> PathBuf {
    place::repo().join("target/bpf/berth.bpf.o")
}

/// Builds the object unless the one there was built from these very sources by this very tool chain.
pub(crate) fn ensure_built() -> anyhow::Result<Built> {
    let sources = place::repo().join("agent-ebpf");
    if !sources.join("Cargo.toml").exists() {
        return Ok(Built::NoSources);
    }
    let chain = Toolchain::choose();
    let linker = bpf::linker_path(&place::cache()?);
    // Only when something is missing, so that a machine with a nightly and the linker needs no Debian.
    if !linker.exists() || (chain == Toolchain::Debian && !Path::new("/usr/bin/cargo").exists()) {
        setup::ensure(setup::Group::Agent)?;
    }
    let stamp = stamp(&sources, chain)?;
    if object_path().exists() && fs::read_to_string(stamp_path()).is_ok_and(|last| last == stamp) {
        return Ok(Built::Before);
    }
    build(&sources, chain, &linker)?;
    fs::create_dir_all(object_path().with_file_name("")).context("create target/bpf")?;
    let built = sources.join("target").join(TARGET).join("release/berth-ebpf");
    fs::copy(&built, object_path()).with_context(|| format!("copy {}", built.display()))?;
    fs::write(stamp_path(), stamp).context("record the build")?;
    Ok(Built::Now)
}

fn stamp_path() -> PathBuf {
    object_path().with_extension("stamp")
}

/// Who compiles: a rustup nightly with rust-src builds `core` itself on any distribution; Debian's package has it
/// precompiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    Nightly,
    Debian,
}

impl Toolchain {
    fn choose() -> Self {
        let ask = |question: &str| {
            let answer = Command::new("rustup")
                .args(["run", "nightly", "rustc"])
                .args(question.split(' '))
                .output();
            answer
                .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
                .unwrap_or_default()
        };
        let core =
            Path::new(ask("--print sysroot").trim()).join("lib/rustlib/src/rust/library/core");
        if core.exists() && writes_what_the_linker_reads(&ask("-vV")) {
            Self::Nightly
        } else {
            Self::Debian
        }
    }
}

/// The LLVM of `tools/bin/bpf-linker`, see versions.toml.
const LINKER_LLVM_MAJOR: u32 = 22;

/// A compiler with another LLVM writes bitcode that the linker may not read.
fn writes_what_the_linker_reads(rustc_version: &str) -> bool {
    let llvm = rustc_version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next());
    llvm.and_then(|major| major.parse().ok()) == Some(LINKER_LLVM_MAJOR)
}

fn build(sources: &Path, chain: Toolchain, linker: &Path) -> anyhow::Result<()> {
    let mut cargo = cargo(sources, chain, "build");
    cargo.args(["--config", &format!("target.{TARGET}.linker='{}'", linker.display())]);
    eprintln!("ebpf: building agent-ebpf with {chain:?}'s compiler");
    shell::quiet(&mut cargo)
}

/// Clippy of the tool chain that builds the programs: no other has `core` for their target.
pub(crate) fn clippy() -> anyhow::Result<()> {
    let chain = Toolchain::choose();
    if chain == Toolchain::Debian && !Path::new("/usr/bin/cargo-clippy").exists() {
        setup::ensure(setup::Group::Agent)?;
    }
    let mut cargo = cargo(&place::repo().join("agent-ebpf"), chain, "clippy");
    // Its own folder: the checks of another driver would make every build begin anew.
    cargo.arg("--target-dir").arg(place::target().join("ebpf-clippy"));
    shell::quiet(cargo.args(["--", "-D", "warnings"])).context("clippy of agent-ebpf")
}

/// A cargo of the tool chain, in a clean environment.
fn cargo(sources: &Path, chain: Toolchain, subcommand: &str) -> Command {
    let mut cargo = match (chain, subcommand) {
        (Toolchain::Nightly, _) => {
            let mut cargo = Command::new("rustup");
            cargo.args(["run", "nightly", "cargo"]);
            cargo
        }
        // Debian's cargo would take the clippy of rustup, which it finds first.
        (Toolchain::Debian, "clippy") => Command::new("/usr/bin/cargo-clippy"),
        (Toolchain::Debian, _) => Command::new("/usr/bin/cargo"),
    };
    cargo.current_dir(sources).args([subcommand, "--release", "--locked"]);
    scrub(&mut cargo);
    match chain {
        Toolchain::Nightly => {
            cargo.args(["-Z", "build-std=core", "--config", "build.rustc='rustc'"]);
        }
        Toolchain::Debian => {
            cargo.env("CARGO", "/usr/bin/cargo");
        }
    }
    cargo
}

/// Takes away what the calling cargo and a developer's shell leave in the environment: all of it is meant for
/// another compiler and another target.
fn scrub(cargo: &mut Command) {
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        let is_foreign = [
            "RUSTFLAGS",
            "CARGO",
            "CARGO_TARGET_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ]
        .contains(&name.as_ref())
            || ["RUSTC", "CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_PKG_", "CARGO_MANIFEST_"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
        if is_foreign {
            cargo.env_remove(&key);
        }
    }
}

/// A fingerprint of every source file and the compiler.
fn stamp(sources: &Path, chain: Toolchain) -> anyhow::Result<String> {
    let mut files = Vec::new();
    list_sources(sources, &mut files)?;
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(file.as_os_str().as_encoded_bytes());
        hasher.write(&fs::read(&file).with_context(|| format!("read {}", file.display()))?);
    }
    Ok(format!("{chain:?} {:016x}\n", hasher.finish()))
}

fn list_sources(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            list_sources(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::writes_what_the_linker_reads;

    #[track_caller]
    fn check(rustc_version: &str, expected: bool) {
        assert_eq!(writes_what_the_linker_reads(rustc_version), expected, "{rustc_version:?}");
    }

    #[test]
    fn compiler_rows() {
        check(
            "rustc 1.97.0-nightly (abc 2026-05-01)\nrelease: 1.97.0-nightly\nLLVM version: 22.1.2\n",
            true,
        );
        check("LLVM version: 23.1.0\n", false);
        check("LLVM version: 2.2\n", false);
        check("", false);
    }
}
