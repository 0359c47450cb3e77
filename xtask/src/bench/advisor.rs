//! `bench advisor`: runs the criterion bench of the deciding functions, reads its estimates and puts
//! instruction counts beside them, which repeat where times do not.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::Machine;
use super::count::Counter;
use super::row::{Bar, Row};
use crate::cargo::cargo;
use crate::place;

const PLAN_NS: f64 = 1e6;
const SUPPRESS_NS: f64 = 1e5;
const ADMIT_NS: f64 = 5e4;
const HINTS_NS: f64 = 2e5;
/// There are 65535 sets of 16 nodes.
const HINTS_16_NODES_NS: f64 = 1e6;
/// A tick of 1000 workloads on the planning thread, and its part on the loop, which a burst waits for.
const MANY_TICK_NS: f64 = 1e7;
const MANY_FINISH_NS: f64 = 5e6;

/// Rows whose instructions are counted, and what `count_advisor` calls their function.
const COUNTED: [(&str, &str); 4] = [
    ("plan/512cpus-300workloads", "plan"),
    ("plan/512cpus-300workloads-moving", "plan-moving"),
    ("plan/512cpu-8numa-300pods", "plan-pods"),
    ("suppress/512cpus-300workloads", "suppress"),
];

#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

pub(super) fn run(_machine: &mut Machine) -> anyhow::Result<Vec<Row>> {
    let criterion = place::target().join("criterion");
    if criterion.exists() {
        fs::remove_dir_all(&criterion).context("forget earlier estimates")?;
    }
    let mut cargo = cargo(place::repo());
    cargo.args(["bench", "-p", "bench", "--bench", "advisor"]);
    let status = cargo.status().context("run cargo")?;
    ensure!(status.success(), "cargo bench ended with {status}");
    let mut rows = Vec::new();
    for folder in results(&criterion)? {
        rows.push(read(&folder)?);
    }
    ensure!(!rows.is_empty(), "criterion left no estimates in {}", criterion.display());
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let counter = Counter::build()?;
    for (name, function) in COUNTED {
        let row = rows.iter_mut().find(|row| row.name == name);
        let row = row.with_context(|| format!("criterion has no estimate of {name}"))?;
        row.figures.push(("instructions".to_owned(), counter.per_run(function)?));
    }
    rows.push(growth(&counter)?);
    Ok(rows)
}

const N_TICKS: u64 = 10_000;
/// Counters grow from tick to tick and histograms with them; a leak of ten bytes a tick and pod would be thirty times this.
const GROWTH_KIB: f64 = 1024.0;

fn growth(counter: &Counter) -> anyhow::Result<Row> {
    let (early, late) = counter.growth_kib(N_TICKS)?;
    let figures = [("early_kib", early), ("late_kib", late)];
    Ok(Row::new(
        "turn-growth/512cpu-8numa-300pods-10k-ticks",
        &figures,
        Some(Bar::within(late - early, GROWTH_KIB)),
    ))
}

/// The `new` folders below criterion's output, however deep its groups.
fn results(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.join("estimates.json").exists() && path.ends_with("new") {
            found.push(path);
        } else if path.is_dir() {
            found.extend(results(&path)?);
        }
    }
    Ok(found)
}

fn read(folder: &Path) -> anyhow::Result<Row> {
    let benchmark: Benchmark = parse(&folder.join("benchmark.json"))?;
    let estimates: Estimates = parse(&folder.join("estimates.json"))?;
    let median_ns = estimates.median.point_estimate;
    Ok(Row::new(
        &benchmark.full_id,
        &[("median_ns", median_ns)],
        bar(&benchmark.full_id, median_ns),
    ))
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no estimate", path.display()))
}

fn bar(name: &str, median_ns: f64) -> Option<Bar> {
    match name.split('/').next() {
        Some("plan") => Some(Bar::within(median_ns, PLAN_NS)),
        Some("suppress") => Some(Bar::within(median_ns, SUPPRESS_NS)),
        Some("admit") => Some(Bar::within(median_ns, ADMIT_NS)),
        Some("hints") if name.starts_with("hints/16numa") => {
            Some(Bar::within(median_ns, HINTS_16_NODES_NS))
        }
        Some("hints") => Some(Bar::within(median_ns, HINTS_NS)),
        Some("many-tick") => Some(Bar::within(median_ns, MANY_TICK_NS)),
        Some("many-finish") => Some(Bar::within(median_ns, MANY_FINISH_NS)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_go_by_the_function() {
        assert_eq!(bar("plan/512cpus", 5e5), Some(Bar::within(5e5, 1e6)));
        assert_eq!(bar("suppress/512cpus", 5e4), Some(Bar::within(5e4, 1e5)));
        assert_eq!(bar("admit/512cpu", 5e4), Some(Bar::within(5e4, 5e4)));
        assert_eq!(bar("hints/512cpu", 5e4), Some(Bar::within(5e4, 2e5)));
        assert_eq!(bar("hints/16numa-exclusive", 5e4), Some(Bar::within(5e4, 1e6)));
        assert_eq!(bar("many-tick/512cpus", 5e6), Some(Bar::within(5e6, 1e7)));
        assert_eq!(bar("many-derive/512cpus", 5e6), None);
        assert_eq!(bar("turn-tick/512cpus", 5e4), None);
    }
}
