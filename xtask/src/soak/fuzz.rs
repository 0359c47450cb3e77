//! `cargo xtask soak fuzz`: builds the fuzz packages for libFuzzer with the workspace's own compiler and runs each target for a while:
//! parsers of host files, annotations of pods, documents of `simulate`, and what the metastore reads. What the targets try is theirs;
//! `cargo +nightly fuzz` runs the same ones.
//!
//! No address sanitizer, which only a nightly has: these crates deny unsafe code, so what there is to find are panics,
//! overflows, failed assertions and endless loops.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::place;
use crate::setup::shell;

/// What cargo-fuzz passes for coverage, less the sanitizer, with the checks of a debug build.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions=yes -Coverflow-checks=yes -Ccodegen-units=1";
/// Named, so that the flags do not reach build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// A file of the kernel is parsed in microseconds; one input that takes this long is a finding.
const ONE_INPUT_S: u32 = 5;

/// What one target came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Ran {
    runs: u64,
    per_second: u64,
    /// Edges of the program that were reached.
    edges: u64,
}

pub(super) fn run(time: Duration, only: Option<&str>) -> anyhow::Result<ExitCode> {
    let targets = PACKAGES.map(|package| targets(&place::repo().join(package)));
    let targets: Vec<Target> = targets.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    let is_chosen = |target: &&Target| only.is_none_or(|only| only == target.name);
    let chosen: Vec<&Target> = targets.iter().filter(is_chosen).collect();
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    ensure!(!chosen.is_empty(), "no such target; there are {}", names.join(", "));
    let mut failed = Vec::new();
    let mut lines = Vec::new();
    for Target { folder, name } in chosen {
        // Quick when it is built already.
        let programs = build(folder)?;
        println!("=== {name}");
        let (ran, found_nothing) = fuzz(&programs.join(name), folder, name, time)?;
        lines.push(format!(
            "{name:<18} {:>12} runs {:>8} per second {:>6} edges{}",
            ran.runs,
            ran.per_second,
            ran.edges,
            if found_nothing { "" } else { "   FOUND SOMETHING" }
        ));
        if !found_nothing {
            failed.push(name.as_str());
        }
    }
    println!("=== {} s each", time.as_secs());
    lines.iter().for_each(|line| println!("{line}"));
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("inputs that failed: {}", artifacts(failed[0]).with_file_name("").display());
    Ok(ExitCode::FAILURE)
}

/// Each outside the workspace.
const PACKAGES: [&str; 2] = ["agent/hostfs/fuzz", "controlplane/metastore/fuzz"];

/// Of the package in a folder.
#[derive(Debug, Clone)]
struct Target {
    folder: PathBuf,
    name: String,
}

fn targets(folder: &Path) -> anyhow::Result<Vec<Target>> {
    let sources = folder.join("fuzz_targets");
    let entries = fs::read_dir(&sources).with_context(|| format!("list {}", sources.display()))?;
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names.into_iter().map(|name| Target { folder: folder.to_owned(), name }).collect())
}

/// The folder with the programs.
fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    shell::quiet(Command::new("c++").arg("--version")).context("libFuzzer is C++; install g++")?;
    let out = place::target().join("fuzz");
    let status = Command::new("cargo")
        .current_dir(folder)
        .args(["build", "--release", "--bins", "--locked", "--target", TARGET])
        .env("CARGO_TARGET_DIR", &out)
        .env("RUSTFLAGS", RUSTFLAGS)
        .stdin(Stdio::null())
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "cargo could not build the fuzz targets");
    Ok(out.join(TARGET).join("release"))
}

/// Runs one target; whether it ended by itself and not by a finding.
fn fuzz(program: &Path, folder: &Path, name: &str, time: Duration) -> anyhow::Result<(Ran, bool)> {
    let corpus = place::target().join("fuzz/corpus").join(name);
    let artifacts = artifacts(name);
    for made in [&corpus, &artifacts] {
        fs::create_dir_all(made).with_context(|| format!("create {}", made.display()))?;
    }
    let mut command = Command::new(program);
    // The first folder takes what is new, the second one is only read.
    command.arg(&corpus).args(seeds(folder, name));
    command.arg(format!("-max_total_time={}", time.as_secs()));
    command.arg(format!("-timeout={ONE_INPUT_S}"));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args(["-print_final_stats=1", "-verbosity=1", "-close_fd_mask=0"]);
    let output = command.stdin(Stdio::null()).output().context("run a fuzz target")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let found_nothing = output.status.success();
    if !found_nothing {
        let last: Vec<&str> = said.lines().rev().take(40).collect();
        last.iter().rev().for_each(|line| println!("{line}"));
    }
    Ok((read_statistics(&said), found_nothing))
}

fn artifacts(name: &str) -> PathBuf {
    place::target().join("fuzz/artifacts").join(name)
}

/// Files as kernels print them, to begin with.
fn seeds(folder: &Path, name: &str) -> Option<PathBuf> {
    Some(folder.join("seeds").join(name)).filter(|seeds| seeds.is_dir())
}

/// libFuzzer's `stat::` lines and the coverage of its last `#N ... cov: N` line.
fn read_statistics(said: &str) -> Ran {
    let stat = |key: &str| {
        let mut lines = said.lines();
        let value = lines.find_map(|line| line.strip_prefix("stat::")?.strip_prefix(key));
        value.and_then(|value| value.trim_start_matches(':').trim().parse().ok()).unwrap_or(0)
    };
    let edges = said.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once("cov: ")?;
        rest.split(' ').next()?.parse().ok()
    });
    Ran {
        runs: stat("number_of_executed_units"),
        per_second: stat("average_exec_per_sec"),
        edges: edges.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ran, read_statistics};

    #[track_caller]
    fn check(said: &str, runs: u64, per_second: u64, edges: u64) {
        assert_eq!(read_statistics(said), Ran { runs, per_second, edges }, "{said:?}");
    }

    #[test]
    fn the_end_of_a_run_is_understood() {
        check("", 0, 0, 0);
        check(
            "#2\tINITED cov: 3 ft: 3 corp: 1/1b exec/s: 0 rss: 27Mb\n\
             #524288\tpulse  cov: 120 ft: 300 corp: 90/2Kb exec/s: 262144 rss: 400Mb\n\
             #900000\tDONE   cov: 121 ft: 301 corp: 91/2Kb exec/s: 300000 rss: 400Mb\n\
             Done 900000 runs in 3 second(s)\n\
             stat::number_of_executed_units: 900000\n\
             stat::average_exec_per_sec:     300000\n\
             stat::new_units_added:          91\n",
            900_000,
            300_000,
            121,
        );
        check(
            "==7== ERROR: libFuzzer: deadly signal\nstat::number_of_executed_units: 5\n",
            5,
            0,
            0,
        );
    }
}
