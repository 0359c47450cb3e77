//! `bench suppression` inside the guest: bursts of a service beside hogs that keep every CPU busy,
//! again and again, until enough suppressions are in the agent's own record. Latency is the
//! agent's: kernel timestamp of the first over-threshold wait to the read-back of the last Step.

use std::path::{Path, PathBuf};
use std::{fs, thread};

use anyhow::{Context, Result};
use model::units::{Nanos, Timestamp};
use serde::Serialize;

use crate::cgroup;
use crate::clock;
use crate::demo::agent::{Agent, AgentSetup, MoreWorkloads, Suppression};
use crate::demo::outcome::spread;
use crate::demo::stage::{self, Load, Regime, fresh_dir};
use crate::demo::tree::{self, Layout, Tree};

/// Between agent and first burst: two ticks to find the pods and size the pools, one to spare.
const SETTLE: Nanos = Nanos::from_secs(3);
/// The plan of the second run has a Step for each of these: a cpuset, the slowest file there is.
const N_MORE_PODS: usize = 1000;
const MORE: MoreWorkloads =
    MoreWorkloads { cgroup: "/pods/many-*", name: "many", qos: "shared_cores" };
/// The agent finds new cgroups within a tick; under emulation writing them takes seconds.
const MANY_SPAN: Nanos = Nanos::from_secs(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub root: PathBuf,
    pub out: PathBuf,
    pub load: Load,
    pub agent: AgentSetup,
    pub span: Nanos,
}

/// One row of the result file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    pub events: usize,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub node_cpu_util: f64,
}

/// Both runs.
pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    tree::remove_all(&settings.root)?;
    Ok(vec![beside_hogs(settings)?, beside_a_long_plan(settings)?])
}

fn beside_hogs(settings: &Settings) -> Result<Row> {
    let out = fresh_dir(&settings.out, "hogs")?;
    let tree = Tree::create(&settings.root, Layout::Siblings)?;
    let agent = Agent::start(&settings.agent, &out)?;
    let start_at = clock::now().after(SETTLE);
    let hogs = stage::start_hogs(&settings.load, &tree, start_at.after(settings.span), &out)?;
    let cast = (hogs, Regime::Nobody);
    let run = stage::perform(&settings.load, &tree, (start_at, settings.span), cast, &out)?;
    let suppressions = agent.stop()?;
    tree.remove()?;
    Ok(row("suppression, every CPU busy", &suppressions, run.node_cpu_util))
}

/// A thousand pods appear at once, while bursts go on; only suppressions between the first
/// and the last of the Steps this needs count.
fn beside_a_long_plan(settings: &Settings) -> Result<Row> {
    let out = fresh_dir(&settings.out, "plan")?;
    let tree = Tree::create(&settings.root, Layout::Siblings)?;
    let setup = AgentSetup { more: vec![MORE], ..settings.agent.clone() };
    let agent = Agent::start(&setup, &out)?;
    let start_at = clock::now().after(SETTLE);
    let hogs = stage::start_hogs(&settings.load, &tree, start_at.after(MANY_SPAN), &out)?;
    let many = many_dirs(&tree)?;
    let writing = thread::spawn(move || watch_writing(&many, start_at));
    let cast = (hogs, Regime::Nobody);
    let run = stage::perform(&settings.load, &tree, (start_at, MANY_SPAN), cast, &out)?;
    let (from, to) = writing.join().ok().context("the watching thread panicked")??;
    let suppressions = agent.stop()?;
    tree.remove()?;
    let during = suppressions.into_iter().filter(|it| (from..=to).contains(&it.done_at));
    let name = format!("suppression while Steps for {N_MORE_PODS} new pods are written");
    Ok(row(&name, &during.collect::<Vec<_>>(), run.node_cpu_util))
}

fn many_dirs(tree: &Tree) -> Result<Vec<PathBuf>> {
    let home = tree.service.parent().context("invariant: the service has a parent")?;
    Ok((0..N_MORE_PODS).map(|n| home.join(format!("many-{n}"))).collect())
}

/// Makes the pods a second after the start and watches until the agent has written the last.
fn watch_writing(dirs: &[PathBuf], start_at: Timestamp) -> Result<(Timestamp, Timestamp)> {
    clock::sleep_until(start_at.after(Nanos::from_secs(1)));
    for dir in dirs {
        cgroup::create(dir)?;
    }
    let until = start_at.after(MANY_SPAN);
    let mut first = None;
    loop {
        let n_written = dirs.iter().filter(|dir| is_written(dir)).count();
        let now = clock::now();
        if n_written > 0 {
            first.get_or_insert(now);
        }
        if n_written == dirs.len() || now >= until {
            return Ok((first.unwrap_or(now), now));
        }
        clock::sleep_until(now.after(Nanos::from_millis(100)));
    }
}

/// A new cgroup has no cpuset of its own; the agent gives it its pool's.
fn is_written(dir: &Path) -> bool {
    fs::read_to_string(dir.join("cpuset.cpus")).is_ok_and(|cpus| !cpus.trim().is_empty())
}

fn row(name: &str, suppressions: &[Suppression], node_cpu_util: f64) -> Row {
    let ms: Vec<f64> = suppressions.iter().map(|it| it.latency.0 as f64 / 1000.0).collect();
    let spread = spread(&ms);
    Row {
        name: name.to_owned(),
        events: ms.len(),
        p50_ms: spread.map(|it| it.0),
        p99_ms: spread.map(|it| it.1),
        max_ms: spread.map(|it| it.2),
        node_cpu_util,
    }
}

#[cfg(test)]
mod tests {
    use model::units::Micros;

    use super::*;

    #[test]
    fn a_row_without_events_has_no_quantiles() {
        assert_eq!(row("x", &[], 1.0).p99_ms, None);
        let one = Suppression { done_at: Timestamp(1), latency: Micros(2_500) };
        assert_eq!(row("x", &[one], 1.0).max_ms, Some(2.5));
    }
}
