//! Runs the phases one after the other and gathers the outcome.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use model::units::{Micros, Nanos, Timestamp};

use crate::arrivals::Shape;
use crate::clock;
use crate::demo::agent::{Agent, AgentSetup, Suppression};
use crate::demo::outcome::{Outcome, PhaseOutcome, SuppressionMark, spread};
use crate::demo::phase::{Phase, Split, SweepRow, best_split};
use crate::demo::stage::{self, Load, Performance, Regime, WARM_UP, fresh_dir};
use crate::demo::tree::{self, Layout, Tree};
use crate::load::report::write_json;
use crate::load::work;
use crate::procfs;
use crate::rule65::Regulator;

/// Without an `alone` phase there is no measured target; this is 1.5 times what a 3 ms service
/// usually shows alone.
const DEFAULT_TARGET: Micros = Micros(10_000);

/// Between the start of the batch pods and the first request under the agent: a tick to find
/// them, a tick to size the pools, one to spare.
const SETTLE: Nanos = Nanos::from_secs(3);

/// How the agent's log says that it is half blind.
const NO_PROBES: &str = "No BPF probes";

/// What to run and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A cgroup v2 directory this process may fill: the mount itself in the guest, a delegated
    /// subtree on a host.
    pub root: PathBuf,
    pub out: PathBuf,
    pub load: Load,
    pub agent: AgentSetup,
    pub phases: Vec<Phase>,
    /// Quiet and burst periods per phase.
    pub n_cycles: u64,
    /// The same for each candidate of the sweep.
    pub n_sweep_cycles: u64,
}

impl Settings {
    fn span(&self, n_cycles: u64) -> Nanos {
        Nanos(self.load.shape.cycle().0 * n_cycles)
    }
}

/// Runs everything and writes `demo.json`; `say` gets a line per phase for the console.
pub fn run(settings: &Settings, say: &mut dyn FnMut(&str)) -> Result<Outcome> {
    ensure!(
        procfs::is_cgroup_v2(&settings.root),
        "{} is not a cgroup v2 directory",
        settings.root.display()
    );
    tree::remove_all(&settings.root)?;
    let mut outcome = Outcome { machine: machine(settings)?, ..Outcome::default() };
    let mut target = DEFAULT_TARGET;
    for phase in &settings.phases {
        let done = run_phase(settings, *phase, target, &mut outcome)?;
        if *phase == Phase::Alone {
            target = within_alone(done.burst.p99_us);
        }
        say(&line(&done));
        outcome.keys.extend(done.keys());
        outcome.phases.push(done);
    }
    write_json(&settings.out.join("demo.json"), &outcome)?;
    Ok(outcome)
}

/// The aim: 1.5 times the p99 of the service alone.
fn within_alone(alone_p99_us: u64) -> Micros {
    Micros(alone_p99_us * 3 / 2)
}

fn run_phase(
    settings: &Settings,
    phase: Phase,
    target: Micros,
    outcome: &mut Outcome,
) -> Result<PhaseOutcome> {
    let span = settings.span(settings.n_cycles);
    if phase == Phase::Berth {
        return berth(settings, span, target, outcome).context("phase berth");
    }
    let run = match phase {
        Phase::Alone | Phase::Berth => alone(settings, span),
        Phase::Unmanaged => beside_batch(settings, phase.name(), span, Layout::Siblings, no_setup),
        Phase::K8s => beside_batch(settings, phase.name(), span, Layout::BestEffort, no_setup),
        Phase::Rule65 => beside_batch(settings, phase.name(), span, Layout::BestEffort, rule65),
        Phase::Static => {
            let split = sweep(settings, target, &mut outcome.sweep)?;
            outcome.notes.push(format!("static: the best fixed split was {}", split.name()));
            with_split(settings, phase.name(), span, split)
        }
    };
    let run = run.with_context(|| format!("phase {}", phase.name()))?;
    Ok(PhaseOutcome::new(phase, &run, &settings.load.shape, target))
}

fn alone(settings: &Settings, span: Nanos) -> Result<Performance> {
    let out = fresh_dir(&settings.out, Phase::Alone.name())?;
    let tree = Tree::create(&settings.root, Layout::Siblings)?;
    let start_at = clock::now().after(WARM_UP);
    let cast = (Vec::new(), Regime::Nobody);
    let run = stage::perform(&settings.load, &tree, (start_at, span), cast, &out)?;
    tree.remove()?;
    Ok(run)
}

/// The service beside batch pods that `set_up` may limit or regulate.
fn beside_batch(
    settings: &Settings,
    name: &str,
    span: Nanos,
    layout: Layout,
    set_up: impl Fn(&Tree) -> Result<Regime>,
) -> Result<Performance> {
    let out = fresh_dir(&settings.out, name)?;
    let tree = Tree::create(&settings.root, layout)?;
    let manager = set_up(&tree)?;
    let start_at = clock::now().after(WARM_UP);
    let hogs = stage::start_hogs(&settings.load, &tree, start_at.after(span), &out)?;
    let run = stage::perform(&settings.load, &tree, (start_at, span), (hogs, manager), &out)?;
    tree.remove()?;
    Ok(run)
}

/// The agent is started before the batch pods, as on a node; it finds them by its own rules.
fn berth(
    settings: &Settings,
    span: Nanos,
    target: Micros,
    outcome: &mut Outcome,
) -> Result<PhaseOutcome> {
    let out = fresh_dir(&settings.out, Phase::Berth.name())?;
    let tree = Tree::create(&settings.root, Layout::BestEffort)?;
    let agent = Agent::start(&settings.agent, &out)?;
    let start_at = clock::now().after(SETTLE);
    let hogs = stage::start_hogs(&settings.load, &tree, start_at.after(span), &out)?;
    let before = agent.cost()?;
    let counted_from = clock::now();
    let cast = (hogs, Regime::Nobody);
    let run = stage::perform(&settings.load, &tree, (start_at, span), cast, &out)?;
    let cost = agent.cost()?;
    let counted = clock::now().since(counted_from).as_micros();
    let suppressions = agent.stop()?;
    tree.remove()?;
    let keys = &mut outcome.keys;
    keys.insert("agent_rss_bytes".to_owned(), cost.rss.0 as f64);
    if let Some(memory) = cost.memory_current {
        keys.insert("agent_memory_current_bytes".to_owned(), memory.0 as f64);
    }
    let used = cost.cpu.0.saturating_sub(before.cpu.0);
    keys.insert("agent_cpu_ratio".to_owned(), used as f64 / counted.0.max(1) as f64);
    let log = fs::read_to_string(out.join("agent.log")).unwrap_or_default();
    if log.contains(NO_PROBES) {
        outcome.notes.push(
            "berth: the agent ran without BPF and had only pressure to go by; see agent.log".into(),
        );
    }
    let mut done = PhaseOutcome::new(Phase::Berth, &run, &settings.load.shape, target);
    keys.extend(suppression_keys(&suppressions, &done.recover_ms));
    done.series.suppressions = marks(&suppressions, run.started_at());
    Ok(done)
}

fn suppression_keys(
    suppressions: &[Suppression],
    recover_ms: &[f64],
) -> std::collections::BTreeMap<String, f64> {
    let latencies_ms: Vec<f64> =
        suppressions.iter().map(|it| it.latency.0 as f64 / 1000.0).collect();
    let mut keys = vec![("suppress_events", suppressions.len() as f64)];
    if let Some((p50, p99, max)) = spread(&latencies_ms) {
        keys.extend([("suppress_ms_p50", p50), ("suppress_ms_p99", p99), ("suppress_ms_max", max)]);
    }
    if let Some((p50, p99, _)) = spread(recover_ms) {
        keys.extend([("recover_ms_p50", p50), ("recover_ms_p99", p99)]);
    }
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn marks(suppressions: &[Suppression], start: Timestamp) -> Vec<SuppressionMark> {
    let during = suppressions.iter().filter(|it| it.done_at >= start);
    let mark = |it: &Suppression| SuppressionMark {
        at_ms: it.done_at.since(start).0 as f64 / 1e6,
        took_ms: it.latency.0 as f64 / 1000.0,
    };
    during.map(mark).collect()
}

fn no_setup(_tree: &Tree) -> Result<Regime> {
    Ok(Regime::Nobody)
}

fn rule65(tree: &Tree) -> Result<Regime> {
    let batch = tree.batch_parent.clone().context("rule65 needs a batch parent")?;
    let n_cpus = tree::n_cpus(&tree.root)? as u64;
    Ok(Regime::Rule65(Regulator::new(tree.service.clone(), batch, n_cpus)?))
}

fn with_split(settings: &Settings, name: &str, span: Nanos, split: Split) -> Result<Performance> {
    let set_up = |tree: &Tree| {
        tree.split(split, tree::n_cpus(&tree.root)?)?;
        Ok(Regime::Nobody)
    };
    beside_batch(settings, name, span, Layout::BelowParent, set_up)
}

fn sweep(settings: &Settings, target: Micros, rows: &mut Vec<SweepRow>) -> Result<Split> {
    let span = settings.span(settings.n_sweep_cycles);
    for split in Split::SWEEP {
        let run = with_split(settings, "sweep", span, split)
            .with_context(|| format!("trying the fixed split {}", split.name()))?;
        let done = PhaseOutcome::new(Phase::Static, &run, &settings.load.shape, target);
        rows.push(SweepRow {
            split,
            name: split.name(),
            service_p99_us: done.burst.p99_us,
            batch_ops: done.batch_ops,
        });
    }
    best_split(rows, target.0).context("invariant: the sweep tries at least one split")
}

fn line(done: &PhaseOutcome) -> String {
    format!(
        "{:<10} service p99 {:>9.1} ms in bursts, batch {:>7} operations, node {:>3.0} % busy",
        done.phase.name(),
        done.burst.p99_us as f64 / 1000.0,
        done.batch_ops,
        done.node_cpu_util * 100.0
    )
}

fn machine(settings: &Settings) -> Result<std::collections::BTreeMap<String, String>> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading osrelease")?;
    let facts = [
        ("kernel", kernel.trim().to_owned()),
        ("cpus", tree::n_cpus(&settings.root)?.to_string()),
        ("numa_nodes", count_nodes(Path::new("/sys/devices/system/node")).to_string()),
        ("iterations_per_ms", settings.load.speed.iterations_per_ms.to_string()),
        ("agent_like_rounds_per_s", work::agent_like_rounds_per_s().to_string()),
        ("seed", settings.load.seed.to_string()),
        ("burst_rate_hz", format!("{:.1}", settings.load.shape.burst_rate_hz)),
        ("quiet_rate_hz", format!("{:.1}", settings.load.shape.quiet_rate_hz)),
        ("request_ms", format!("{:.1}", settings.load.request.0 as f64 / 1e6)),
        ("phase_seconds", (settings.span(settings.n_cycles).0 / 1_000_000_000).to_string()),
    ];
    Ok(facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn count_nodes(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| is_node(&entry.file_name().to_string_lossy())).count()
}

fn is_node(name: &str) -> bool {
    name.strip_prefix("node").is_some_and(|number| number.parse::<u16>().is_ok())
}

/// The service's load for a node of `n_cpus`: in bursts `share_pct` percent of half the node, in
/// quiet periods a tenth of that.
pub fn shape(n_cpus: usize, share_pct: f64, request: Nanos, quiet: Nanos, burst: Nanos) -> Shape {
    let fair_cpus = n_cpus as f64 / 2.0;
    let burst_rate_hz = fair_cpus * share_pct / 100.0 / (request.0.max(1) as f64 / 1e9);
    Shape { quiet, burst, quiet_rate_hz: burst_rate_hz / 10.0, burst_rate_hz }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_take_a_share_of_half_the_node() {
        // half of 2 CPUs is 1 CPU; 85 % of it in requests of 3 ms is 283 per second
        let second = Nanos::from_secs(1);
        let shape = shape(2, 85.0, Nanos::from_millis(3), second, second);
        assert!((shape.burst_rate_hz - 283.3).abs() < 0.1, "{}", shape.burst_rate_hz);
        assert!((shape.quiet_rate_hz - 28.3).abs() < 0.1, "{}", shape.quiet_rate_hz);
    }
}
