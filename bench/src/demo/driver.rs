//! Runs the phases in rounds and gathers the outcome. In every round each manager meets the very
//! same requests once; every second round runs backwards, so that a host that grows slower or
//! faster meanwhile favours nobody.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use model::units::{Micros, Nanos};

use crate::arrivals::Shape;
use crate::demo::agent::AgentSetup;
use crate::demo::measure;
use crate::demo::outcome::{self, Outcome, PhaseOutcome};
use crate::demo::phase::{Phase, Split};
use crate::demo::stage::Load;
use crate::demo::take::{self, Take};
use crate::demo::tree;
use crate::load::report::write_json;
use crate::load::work;
use crate::procfs;

/// Without an `alone` phase there is no measured target; this is 1.5 times what a 3 ms service
/// usually shows alone.
const DEFAULT_TARGET: Micros = Micros(10_000);

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
    /// How often all phases are run, each time with other arrivals.
    pub n_rounds: u64,
    /// Quiet and burst periods per phase and round.
    pub n_cycles: u64,
    /// The same for each candidate of the sweep.
    pub n_sweep_cycles: u64,
}

impl Settings {
    pub fn span(&self, n_cycles: u64) -> Nanos {
        Nanos(self.load.shape.cycle().0 * n_cycles)
    }

    /// The load of one round.
    fn of_round(&self, round: u64) -> Settings {
        let load = Load { seed: self.load.seed + round, ..self.load.clone() };
        Settings { load, ..self.clone() }
    }
}

/// Runs everything and writes `demo.json`; `say` gets a line per phase and round for the console.
pub fn run(settings: &Settings, say: &mut dyn FnMut(&str)) -> Result<Outcome> {
    ensure!(
        procfs::is_cgroup_v2(&settings.root),
        "{} is not a cgroup v2 directory",
        settings.root.display()
    );
    tree::remove_all(&settings.root)?;
    let mut outcome = Outcome { machine: machine(settings)?, ..Outcome::default() };
    let mut takes: BTreeMap<Phase, Vec<Take>> = BTreeMap::new();
    let mut split = None;
    for round in 0..settings.n_rounds {
        for phase in order(&settings.phases, round) {
            if phase == Phase::Static && split.is_none() {
                split = Some(find_split(settings, target(&takes), &mut outcome)?);
            }
            let take = one_take(&settings.of_round(round), phase, split)
                .with_context(|| format!("phase {}, round {}", phase.name(), round + 1))?;
            say(&line(phase, (round + 1, settings.n_rounds), &take));
            takes.entry(phase).or_default().push(take);
        }
    }
    let target = target(&takes);
    for phase in &settings.phases {
        let of_phase = takes.get(phase).map_or(&[][..], Vec::as_slice);
        let done = PhaseOutcome::new(*phase, of_phase, &settings.load.shape, target);
        outcome.keys.extend(done.keys());
        outcome.keys.extend(outcome::agent_keys(of_phase, &done));
        outcome.phases.push(done);
    }
    if takes.values().flatten().any(|take| take.agent.as_ref().is_some_and(|it| it.blind)) {
        let note = "berth: the agent ran without BPF and had only pressure to go by; see agent.log";
        outcome.notes.push(note.to_owned());
    }
    write_json(&settings.out.join("demo.json"), &outcome)?;
    Ok(outcome)
}

fn order(phases: &[Phase], round: u64) -> Vec<Phase> {
    let mut order = phases.to_vec();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// The aim: 1.5 times the p99 of the service alone.
fn target(takes: &BTreeMap<Phase, Vec<Take>>) -> Micros {
    let Some(alone) = takes.get(&Phase::Alone) else { return DEFAULT_TARGET };
    let requests = alone.iter().flat_map(|take| &take.performance.service.requests);
    Micros(measure::burst_latency(requests).p99_us * 3 / 2)
}

fn one_take(settings: &Settings, phase: Phase, split: Option<Split>) -> Result<Take> {
    let span = settings.span(settings.n_cycles);
    match phase {
        Phase::Alone => take::alone(settings, span),
        Phase::Unmanaged => take::unmanaged(settings, span),
        Phase::K8s => take::k8s(settings, span),
        Phase::Rule65 => take::rule65(settings, span),
        Phase::Static => {
            let split = split.context("invariant: the sweep comes before the phase")?;
            take::fixed_split(settings, phase.name(), span, split)
        }
        Phase::Berth => take::berth(settings, span),
    }
}

fn find_split(settings: &Settings, target: Micros, outcome: &mut Outcome) -> Result<Split> {
    let split = take::sweep(settings, target, &mut outcome.sweep)?;
    outcome.notes.push(format!("static: the best fixed split was {}", split.name()));
    Ok(split)
}

fn line(phase: Phase, (round, n_rounds): (u64, u64), take: &Take) -> String {
    let run = &take.performance;
    format!(
        "{round}/{n_rounds} {:<10} service p99 {:>9.1} ms in bursts, batch {:>7} operations, node {:>3.0} % busy",
        phase.name(),
        measure::burst_latency(&run.service.requests).p99_us as f64 / 1000.0,
        run.batch_ops(),
        run.node_cpu_util * 100.0
    )
}

fn machine(settings: &Settings) -> Result<BTreeMap<String, String>> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading osrelease")?;
    let facts = [
        ("kernel", kernel.trim().to_owned()),
        ("cpus", tree::n_cpus(&settings.root)?.to_string()),
        ("numa_nodes", count_nodes(Path::new("/sys/devices/system/node")).to_string()),
        ("iterations_per_ms", settings.load.speed.iterations_per_ms.to_string()),
        ("agent_like_rounds_per_s", work::agent_like_rounds_per_s().to_string()),
        ("seed", settings.load.seed.to_string()),
        ("rounds", settings.n_rounds.to_string()),
        ("burst_rate_hz", format!("{:.1}", settings.load.shape.burst_rate_hz)),
        ("quiet_rate_hz", format!("{:.1}", settings.load.shape.quiet_rate_hz)),
        ("request_ms", format!("{:.1}", settings.load.request.0 as f64 / 1e6)),
        ("target_us", settings.agent.target.0.to_string()),
        ("floor_milli_cpu", settings.agent.floor_milli_cpu.to_string()),
        ("reclaim_floor_cpus", settings.agent.reclaim_floor_cpus.to_string()),
        ("hold_ms", (settings.agent.hold.0 / 1_000_000).to_string()),
        ("phase_seconds", phase_seconds(settings).to_string()),
    ];
    Ok(facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Of all rounds together.
fn phase_seconds(settings: &Settings) -> u64 {
    settings.span(settings.n_cycles).0 * settings.n_rounds / 1_000_000_000
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

    #[test]
    fn every_second_round_runs_backwards() {
        let phases = [Phase::Alone, Phase::K8s, Phase::Berth];
        assert_eq!(order(&phases, 0), phases);
        assert_eq!(order(&phases, 1), [Phase::Berth, Phase::K8s, Phase::Alone]);
    }
}
