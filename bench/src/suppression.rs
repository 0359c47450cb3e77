//! `bench suppression` inside the guest: bursts of a service beside hogs that keep every CPU busy,
//! again and again, until enough suppressions are in the agent's own record. Latency is the
//! agent's: kernel timestamp of the first over-threshold wait to the read-back of the last Step.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use model::units::{Nanos, Timestamp};
use serde::Serialize;

use crate::arrivals::Shape;
use crate::cgroup;
use crate::clock;
use crate::demo::agent::{Agent, AgentSetup, MoreWorkloads, Suppression};
use crate::demo::outcome::spread;
use crate::demo::stage::{self, Load, Regime, fresh_dir};
use crate::demo::tree::{self, Layout, Tree};

/// Between agent and first burst: two ticks to find the pods and size the pools, one to spare.
const SETTLE: Nanos = Nanos::from_secs(3);
/// The Plan of the second run has a Step for each of these: a cpuset, the slowest file there is.
const N_MORE_PODS: usize = 1000;
const MORE: MoreWorkloads =
    MoreWorkloads { cgroup: "/pods/many-*", name: "many", qos: "shared_cores" };
/// The agent opens eleven files of each new cgroup; under emulation that takes seconds.
const FIND_LIMIT: Nanos = Nanos::from_secs(60);
/// Long enough for a thousand cpusets to be written and restored between two bursts.
const LONG_QUIET: Nanos = Nanos::from_millis(5_850);
/// The request to enforce comes this much before a burst.
const LEAD: Nanos = Nanos::from_millis(200);
/// How often the written files are looked at.
const LOOK_EVERY: Nanos = Nanos::from_millis(100);

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub root: PathBuf,
    pub out: PathBuf,
    pub load: Load,
    pub agent: AgentSetup,
    pub span: Nanos,
    /// The same for the run with long Plans.
    pub plans_span: Nanos,
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

/// The agent only observes until it knows a thousand pods; then, beside hogs, it is told to enforce
/// shortly before a burst, which needs a Step for each pod, and to observe again, over and over.
/// Only suppressions between the first and the last Step of such a Plan count: one for each, since
/// while the Steps are written the service waits all the time and what began is renewed.
fn beside_a_long_plan(settings: &Settings) -> Result<Row> {
    let out = fresh_dir(&settings.out, "plan")?;
    let tree = Tree::create(&settings.root, Layout::Siblings)?;
    let many = many_dirs(&tree)?;
    for dir in &many {
        cgroup::create(dir)?;
    }
    let setup = AgentSetup { more: vec![MORE], observes: true, ..settings.agent.clone() };
    let agent = Agent::start(&setup, &out)?;
    wait_until_known(&agent)?;
    let (start_at, span) = (clock::now().after(SETTLE), settings.plans_span);
    let shape = Shape { quiet: LONG_QUIET, ..settings.load.shape };
    let load = Load { shape, ..settings.load.clone() };
    let bursts: Vec<Timestamp> =
        shape.burst_starts(span).into_iter().map(|at| start_at.after(at)).collect();
    let hogs = stage::start_hogs(&load, &tree, start_at.after(span), &out)?;
    let (written, run) = thread::scope(|scope| {
        let writing = scope.spawn(|| enforce_at_each(&bursts, &agent, &many));
        let cast = (hogs, Regime::Nobody);
        let run = stage::perform(&load, &tree, (start_at, span), cast, &out);
        (writing.join(), run)
    });
    let windows = written.ok().context("the thread that enforces panicked")??;
    let run = run?;
    let suppressions = agent.stop()?;
    tree.remove()?;
    let is_inside = |it: &Suppression| windows.iter().any(|window| window.contains(&it.done_at));
    let during: Vec<Suppression> = suppressions.into_iter().filter(is_inside).collect();
    let name =
        format!("suppression while {N_MORE_PODS} Steps are written, {} times", windows.len());
    Ok(row(&name, &during, run.node_cpu_util))
}

/// When each Plan was written, from the request to the last cpuset.
fn enforce_at_each(
    bursts: &[Timestamp],
    agent: &Agent,
    dirs: &[PathBuf],
) -> Result<Vec<RangeInclusive<Timestamp>>> {
    let mut windows = Vec::new();
    for (burst, next) in bursts.iter().zip(&bursts[1..]) {
        let at = Timestamp(burst.0 - LEAD.0);
        if clock::now() > at {
            // The last restoration took longer than the pause between two bursts.
            continue;
        }
        clock::sleep_until(at);
        let from = clock::now();
        agent.set_mode("enforce")?;
        ensure!(
            wait_for_all(dirs, *next, is_written),
            "{N_MORE_PODS} cpusets were not written in time"
        );
        windows.push(from..=clock::now());
        agent.set_mode("observe")?;
        let until = next.after(LONG_QUIET);
        ensure!(
            wait_for_all(dirs, until, |dir| !is_written(dir)),
            "cpusets were not restored in time"
        );
    }
    Ok(windows)
}

/// Watches until all of `dirs` are as they should be; `false` when time is up. Looks only at the
/// next one to be written, because looking at a thousand files again and again is a load of its
/// own.
fn wait_for_all(dirs: &[PathBuf], until: Timestamp, is_done: impl Fn(&Path) -> bool) -> bool {
    let mut left: Vec<&PathBuf> = dirs.iter().collect();
    // The agent goes by name; the last one comes first here.
    left.sort_by(|a, b| b.cmp(a));
    while clock::now() < until {
        while left.last().is_some_and(|dir| is_done(dir)) {
            left.pop();
        }
        if left.is_empty() {
            return true;
        }
        clock::sleep_until(clock::now().after(LOOK_EVERY));
    }
    false
}

fn wait_until_known(agent: &Agent) -> Result<()> {
    let until = clock::now().after(FIND_LIMIT);
    while clock::now() < until {
        if agent.n_workloads()? > N_MORE_PODS {
            return Ok(());
        }
        clock::sleep_until(clock::now().after(Nanos::from_secs(1)));
    }
    bail!("the agent did not find {N_MORE_PODS} pods in {} s", FIND_LIMIT.0 / 1_000_000_000)
}

fn many_dirs(tree: &Tree) -> Result<Vec<PathBuf>> {
    let home = tree.service.parent().context("invariant: the service has a parent")?;
    Ok((0..N_MORE_PODS).map(|n| home.join(format!("many-{n}"))).collect())
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
