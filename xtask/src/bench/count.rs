//! How many instructions a deciding function takes: callgrind counts the whole program
//! `count_advisor` for two numbers of runs, and what differs is the runs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::cargo::cargo;
use crate::place;
use crate::setup::{self, shell};

const FEW: u64 = 10;
const MANY: u64 = 60;

/// Builds the counted program once.
pub(super) struct Counter {
    program: PathBuf,
}

impl Counter {
    pub(super) fn build() -> anyhow::Result<Counter> {
        setup::ensure(setup::Group::Bench)?;
        let mut cargo = cargo(place::repo());
        cargo.args(["build", "--profile", "bench", "-p", "bench", "--example", "count_advisor"]);
        let status = cargo.status().context("run cargo")?;
        ensure!(status.success(), "cargo could not build count_advisor: {status}");
        // cargo puts the profile `bench` where `release` goes
        Ok(Counter { program: place::target().join("release/examples/count_advisor") })
    }

    /// Instructions of one run of a function that `count_advisor` knows.
    pub(super) fn per_run(&self, function: &str) -> anyhow::Result<f64> {
        let (few, many) = (self.total(function, FEW)?, self.total(function, MANY)?);
        ensure!(many > few, "{MANY} runs of {function} took {many} instructions, {FEW} {few}");
        Ok((many - few) as f64 / (MANY - FEW) as f64)
    }

    /// Memory in use after a tenth of the ticks and after all of them, in KiB.
    pub(super) fn growth_kib(&self, n_ticks: u64) -> anyhow::Result<(f64, f64)> {
        let mut run = Command::new(&self.program);
        let said = shell::output(run.arg("growth").arg(n_ticks.to_string()))?;
        let pair = said.trim().split_once(' ');
        let numbers =
            pair.and_then(|(early, late)| Some((early.parse().ok()?, late.parse().ok()?)));
        numbers.with_context(|| format!("count_advisor growth said {said:?}"))
    }

    fn total(&self, function: &str, times: u64) -> anyhow::Result<u64> {
        let profile = place::target().join("callgrind.out");
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--tool=callgrind"]);
        valgrind.arg(format!("--callgrind-out-file={}", profile.display()));
        shell::quiet(valgrind.arg(&self.program).arg(function).arg(times.to_string()))?;
        let text =
            fs::read_to_string(&profile).with_context(|| format!("read {}", profile.display()))?;
        total_of(&text).with_context(|| format!("{} has no total", profile.display()))
    }
}

/// The `summary:` line of a profile (Callgrind Format Specification); older ones say `totals:`.
fn total_of(profile: &str) -> Option<u64> {
    let line = |key| profile.lines().find_map(|line| line.strip_prefix(key));
    line("summary:").or_else(|| line("totals:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::total_of;

    #[track_caller]
    fn check(profile: &str, expect: Option<u64>) {
        assert_eq!(total_of(profile), expect, "{profile:?}");
    }

    #[test]
    fn totals() {
        check("events: Ir\nsummary: 1234\n\nfn=x\n1 2\n", Some(1234));
        check("events: Ir\nfn=x\n1 2\ntotals: 77\n", Some(77));
        check("events: Ir\n", None);
        check("summary: many\n", None);
    }
}
