//! One phase on the stage: starts the batch pods, the manager and the service, watches while they
//! run, and brings their reports home.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use model::units::{Nanos, Timestamp};

use crate::arrivals::Shape;
use crate::clock;
use crate::demo::tree::Tree;
use crate::demo::witness::{self, LimitSample};
use crate::load::report::{HogReport, ServiceReport, read_json};
use crate::load::work::Speed;
use crate::procfs::NodeTime;
use crate::rule65::Regulator;

/// Hogs of one batch pod.
const HOGS_PER_POD: usize = 2;
/// Between the start of the hogs and the first request.
pub const WARM_UP: Nanos = Nanos::from_millis(1_500);
/// Hogs run on for this long, so that the last window of the service is like the others.
const HOG_TAIL: Nanos = Nanos::from_millis(200);
/// How often limits are looked at.
const LOOK_EVERY: Nanos = Nanos::from_millis(100);
/// koordlet's interval.
const RULE65_EVERY: Nanos = Nanos::from_secs(1);
/// A load that is told to end is given this long, then it is killed and the run fails.
const END_GRACE: Nanos = Nanos::from_secs(10);

/// The load, the same in every phase.
#[derive(Clone, Debug)]
pub struct Load {
    /// The `berth-load` program.
    pub program: PathBuf,
    pub shape: Shape,
    pub seed: u64,
    pub n_workers: usize,
    pub request: Nanos,
    pub speed: Speed,
}

/// Who acts while the load runs; the agent is its own process and needs no turn from here.
#[derive(Debug)]
pub enum Regime {
    Nobody,
    Rule65(Regulator),
}

/// What one phase brought.
#[derive(Debug)]
pub struct Performance {
    pub service: ServiceReport,
    pub hogs: Vec<HogReport>,
    pub node_cpu_util: f64,
    pub limits: Vec<LimitSample>,
}

impl Performance {
    pub fn started_at(&self) -> Timestamp {
        Timestamp(self.service.started_at_ns)
    }

    /// Operations of all pods while the service ran.
    pub fn batch_ops(&self) -> u64 {
        let start = self.started_at();
        let end = start.after(Nanos(self.service.span_ns));
        self.hogs.iter().map(|hog| hog.ops_between(start, end)).sum()
    }
}

/// Starts the hogs of every pod; they end by themselves at `until`.
pub fn start_hogs(load: &Load, tree: &Tree, until: Timestamp, out: &Path) -> Result<Vec<Child>> {
    let seconds = until.after(HOG_TAIL).since(clock::now()).0 as f64 / 1e9;
    let hog = |(n, pod): (usize, &PathBuf)| {
        let mut command = Command::new(&load.program);
        command.args(["hog", "--threads", &HOGS_PER_POD.to_string()]);
        place(&mut command, load, pod, seconds, &hog_report(out, n));
        command.spawn().with_context(|| format!("starting {}", load.program.display()))
    };
    tree.batch_pods.iter().enumerate().map(hog).collect()
}

/// Runs the service over hogs that were started before, and waits for all of them.
pub fn perform(
    load: &Load,
    tree: &Tree,
    (start_at, span): (Timestamp, Nanos),
    (hogs, mut regime): (Vec<Child>, Regime),
    out: &Path,
) -> Result<Performance> {
    let n_cpus = crate::demo::tree::n_cpus(&tree.root)?;
    let n_hogs = hogs.len();
    let service = start_service(load, tree, start_at, span, out)?;
    clock::sleep_until(start_at);
    let node_before = NodeTime::read()?;
    let end = start_at.after(span);
    let limits = watch(tree, n_cpus, (start_at, end), &mut regime)?;
    let node_cpu_util = NodeTime::read()?.utilisation_since(node_before);
    for child in hogs.into_iter().chain([service]) {
        wait(child, end.after(END_GRACE))?;
    }
    Ok(Performance {
        service: read_json(&out.join("service.json"))?,
        hogs: (0..n_hogs).map(|n| read_json(&hog_report(out, n))).collect::<Result<_>>()?,
        node_cpu_util,
        limits,
    })
}

fn start_service(
    load: &Load,
    tree: &Tree,
    start_at: Timestamp,
    span: Nanos,
    out: &Path,
) -> Result<Child> {
    ensure!(clock::now() < start_at, "the hogs took longer to start than the warm-up lasts");
    let mut command = Command::new(&load.program);
    let seconds = |span: Nanos| (span.0 as f64 / 1e9).to_string();
    command.arg("service");
    command.args(["--quiet-seconds", &seconds(load.shape.quiet)]);
    command.args(["--burst-seconds", &seconds(load.shape.burst)]);
    command.args(["--quiet-rate", &load.shape.quiet_rate_hz.to_string()]);
    command.args(["--burst-rate", &load.shape.burst_rate_hz.to_string()]);
    command.args(["--request-ms", &(load.request.0 as f64 / 1e6).to_string()]);
    command.args(["--workers", &load.n_workers.to_string()]);
    command.args(["--seed", &load.seed.to_string()]);
    command.args(["--start-at-ns", &start_at.0.to_string()]);
    place(&mut command, load, &tree.service, span.0 as f64 / 1e9, &out.join("service.json"));
    command.spawn().with_context(|| format!("starting {}", load.program.display()))
}

fn place(command: &mut Command, load: &Load, cgroup: &Path, seconds: f64, out: &Path) {
    command.args(["--seconds", &seconds.to_string()]);
    command.args(["--iterations-per-ms", &load.speed.iterations_per_ms.to_string()]);
    command.arg("--cgroup").arg(cgroup).arg("--out").arg(out);
}

fn hog_report(out: &Path, n: usize) -> PathBuf {
    out.join(format!("hog-{n}.json"))
}

/// Looks at the limits and gives the manager its turns until the service's span is over.
fn watch(
    tree: &Tree,
    n_cpus: usize,
    (start, end): (Timestamp, Timestamp),
    regime: &mut Regime,
) -> Result<Vec<LimitSample>> {
    let mut limits = Vec::new();
    let mut next_turn = start.after(RULE65_EVERY);
    let mut at = start;
    while at < end {
        clock::sleep_until(at);
        if at >= next_turn {
            if let Regime::Rule65(regulator) = regime {
                regulator.turn()?;
            }
            next_turn = next_turn.after(RULE65_EVERY);
        }
        limits.push(witness::look(tree, (at.since(start).0 / 1_000_000) as i64, n_cpus));
        at = at.after(LOOK_EVERY);
    }
    clock::sleep_until(end);
    Ok(limits)
}

fn wait(mut child: Child, until: Timestamp) -> Result<()> {
    while clock::now() < until {
        if let Some(status) = child.try_wait().context("waiting for a load")? {
            ensure!(status.success(), "a load ended with {status}");
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().context("ending a load that did not end by itself")?;
    child.wait().context("waiting for a killed load")?;
    bail!("a load did not end by itself")
}

/// A fresh directory for the reports of one phase.
pub fn fresh_dir(out: &Path, name: &str) -> Result<PathBuf> {
    let dir = out.join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(dir)
}
