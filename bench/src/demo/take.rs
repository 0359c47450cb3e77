//! One take of one phase: sets the stage as its manager would, lets the load play, clears up.
//! Owns what each manager does before and beside the load; what came of it is `outcome`'s.

use std::fs;

use anyhow::{Context, Result};
use model::units::{Micros, Nanos};

use crate::clock;
use crate::demo::agent::{Agent, Cost, Suppression};
use crate::demo::driver::Settings;
use crate::demo::measure;
use crate::demo::phase::{Phase, Split, SweepRow, best_split};
use crate::demo::stage::{self, Performance, Regime, WARM_UP, fresh_dir};
use crate::demo::tree::{self, Layout, Tree};
use crate::rule65::Regulator;

/// Between the start of the agent and the first request: three ticks to find the pods and size the
/// pools, and as much again for what an emulator does to code it sees for the first time.
const SETTLE: Nanos = Nanos::from_secs(6);

/// How the agent's log says that it is half blind.
const NO_PROBES: &str = "No BPF probes";

/// One take.
#[derive(Debug)]
pub struct Take {
    pub performance: Performance,
    /// In the phase `berth` only.
    pub agent: Option<AgentTake>,
}

/// The agent's part of a take.
#[derive(Clone, Debug)]
pub struct AgentTake {
    /// At the end.
    pub cost: Cost,
    /// CPU time of the agent over the time it was counted.
    pub cpu: Micros,
    pub counted: Micros,
    pub suppressions: Vec<Suppression>,
    /// It ran without BPF.
    pub blind: bool,
}

pub fn alone(settings: &Settings, span: Nanos) -> Result<Take> {
    let out = fresh_dir(&settings.out, Phase::Alone.name())?;
    let tree = Tree::create(&settings.root, Layout::Siblings)?;
    let start_at = clock::now().after(WARM_UP);
    let cast = (Vec::new(), Regime::Nobody);
    let performance = stage::perform(&settings.load, &tree, (start_at, span), cast, &out)?;
    tree.remove()?;
    Ok(Take { performance, agent: None })
}

pub fn unmanaged(settings: &Settings, span: Nanos) -> Result<Take> {
    beside_batch(settings, Phase::Unmanaged.name(), span, Layout::Siblings, no_setup)
}

pub fn k8s(settings: &Settings, span: Nanos) -> Result<Take> {
    beside_batch(settings, Phase::K8s.name(), span, Layout::BestEffort, no_setup)
}

pub fn rule65(settings: &Settings, span: Nanos) -> Result<Take> {
    let regulate = |tree: &Tree| {
        let batch = tree.batch_parent.clone().context("rule65 needs a batch parent")?;
        let n_cpus = tree::n_cpus(&tree.root)? as u64;
        Ok(Regime::Rule65(Regulator::new(tree.service.clone(), batch, n_cpus)?))
    };
    beside_batch(settings, Phase::Rule65.name(), span, Layout::BestEffort, regulate)
}

pub fn fixed_split(settings: &Settings, name: &str, span: Nanos, split: Split) -> Result<Take> {
    let set_up = |tree: &Tree| {
        tree.split(split, tree::n_cpus(&tree.root)?)?;
        Ok(Regime::Nobody)
    };
    beside_batch(settings, name, span, Layout::BelowParent, set_up)
}

/// Tries the fixed splits and picks the one an operator would keep.
pub fn sweep(settings: &Settings, target: Micros, rows: &mut Vec<SweepRow>) -> Result<Split> {
    let span = settings.span(settings.n_sweep_cycles);
    for split in Split::SWEEP {
        let take = fixed_split(settings, "sweep", span, split)
            .with_context(|| format!("trying the fixed split {}", split.name()))?;
        rows.push(SweepRow {
            split,
            name: split.name(),
            service_p99_us: measure::burst_latency(&take.performance.service.requests).p99_us,
            batch_ops: take.performance.batch_ops(),
        });
    }
    best_split(rows, target.0).context("invariant: the sweep tries at least one split")
}

/// The agent is started before the batch pods, as on a node; it finds them by its own rules.
pub fn berth(settings: &Settings, span: Nanos) -> Result<Take> {
    let out = fresh_dir(&settings.out, Phase::Berth.name())?;
    let tree = Tree::create(&settings.root, Layout::BestEffort)?;
    let agent = Agent::start(&settings.agent, &out)?;
    let start_at = clock::now().after(SETTLE);
    let hogs = stage::start_hogs(&settings.load, &tree, start_at.after(span), &out)?;
    let (before, counted_from) = (agent.cost()?, clock::now());
    let cast = (hogs, Regime::Nobody);
    let performance = stage::perform(&settings.load, &tree, (start_at, span), cast, &out)?;
    let cost = agent.cost()?;
    let counted = clock::now().since(counted_from).as_micros();
    let suppressions = agent.stop()?;
    tree.remove()?;
    let cpu = Micros(cost.cpu.0.saturating_sub(before.cpu.0));
    let log = fs::read_to_string(out.join("agent.log")).unwrap_or_default();
    let blind = log.contains(NO_PROBES);
    Ok(Take { performance, agent: Some(AgentTake { cost, cpu, counted, suppressions, blind }) })
}

/// The service beside batch pods that `set_up` may limit or regulate.
fn beside_batch(
    settings: &Settings,
    name: &str,
    span: Nanos,
    layout: Layout,
    set_up: impl Fn(&Tree) -> Result<Regime>,
) -> Result<Take> {
    let out = fresh_dir(&settings.out, name)?;
    let tree = Tree::create(&settings.root, layout)?;
    let manager = set_up(&tree)?;
    let start_at = clock::now().after(WARM_UP);
    let hogs = stage::start_hogs(&settings.load, &tree, start_at.after(span), &out)?;
    let cast = (hogs, manager);
    let performance = stage::perform(&settings.load, &tree, (start_at, span), cast, &out)?;
    tree.remove()?;
    Ok(Take { performance, agent: None })
}

fn no_setup(_tree: &Tree) -> Result<Regime> {
    Ok(Regime::Nobody)
}
