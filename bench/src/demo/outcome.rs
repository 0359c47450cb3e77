//! What the demo writes: flat keys for machines, series for the plot. Pure; the names of the keys
//! are a contract with `xtask demo` and README.

use std::collections::BTreeMap;

use model::units::{Micros, Nanos};
use serde::Serialize;

use crate::arrivals::Shape;
use crate::demo::measure::{self, Quantiles};
use crate::demo::phase::{Phase, SweepRow};
use crate::demo::take::{AgentTake, Take};
use crate::demo::witness::LimitSample;
use crate::quantile::of_sorted;

/// The whole run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Facts about the guest, as text.
    pub machine: BTreeMap<String, String>,
    /// The contract: one number per key.
    pub keys: BTreeMap<String, f64>,
    pub phases: Vec<PhaseOutcome>,
    pub sweep: Vec<SweepRow>,
    /// Sentences a reader should know.
    pub notes: Vec<String>,
}

/// One phase.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseOutcome {
    pub phase: Phase,
    pub burst: Quantiles,
    pub overall: Quantiles,
    pub runq: Quantiles,
    pub n_unfinished: u64,
    pub batch_ops: u64,
    pub node_cpu_util: f64,
    /// Per burst.
    pub recover_ms: Vec<f64>,
    /// Each take for itself, in order.
    pub rounds: Vec<RoundOutcome>,
    pub series: Series,
}

/// One take of a phase: the spread behind the figures of the phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RoundOutcome {
    pub p99_us: u64,
    pub batch_ops: u64,
}

/// Time series for the plot, in bins of `bin_ms`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series {
    pub bin_ms: u64,
    /// p99 by arrival; 0 where nothing arrived.
    pub service_p99_us: Vec<u64>,
    pub batch_ops: Vec<u64>,
    pub limits: Vec<LimitSample>,
    pub burst_starts_ms: Vec<u64>,
    pub burst_ms: u64,
    /// Times at which Berth suppressed, with how long it took.
    pub suppressions: Vec<SuppressionMark>,
}

/// One suppression on the time axis of its phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SuppressionMark {
    pub at_ms: f64,
    pub took_ms: f64,
}

impl PhaseOutcome {
    /// All takes of a phase: quantiles over all requests together, operations summed.
    pub fn new(phase: Phase, takes: &[Take], shape: &Shape, target: Micros) -> PhaseOutcome {
        let requests = || takes.iter().flat_map(|take| &take.performance.service.requests);
        let n_takes = takes.len().max(1) as f64;
        let utils = takes.iter().map(|take| take.performance.node_cpu_util);
        PhaseOutcome {
            phase,
            burst: measure::burst_latency(requests()),
            overall: measure::overall_latency(requests()),
            runq: measure::burst_runq(requests()),
            n_unfinished: takes.iter().map(|take| take.performance.service.n_unfinished).sum(),
            batch_ops: takes.iter().map(|take| take.performance.batch_ops()).sum(),
            node_cpu_util: utils.sum::<f64>() / n_takes,
            recover_ms: takes.iter().flat_map(|take| recover_ms(take, shape, target)).collect(),
            rounds: takes.iter().map(RoundOutcome::new).collect(),
            series: takes.iter().fold(Series::default(), |all, take| all.followed_by(take, shape)),
        }
    }

    /// This phase's part of the flat keys.
    pub fn keys(&self) -> BTreeMap<String, f64> {
        let name = self.phase.name();
        BTreeMap::from([
            (format!("service_p99_us_{name}"), self.burst.p99_us as f64),
            (format!("runq_p99_us_{name}"), self.runq.p99_us as f64),
            (format!("batch_ops_{name}"), self.batch_ops as f64),
            (format!("node_cpu_util_{name}"), self.node_cpu_util),
        ])
    }
}

impl RoundOutcome {
    fn new(take: &Take) -> RoundOutcome {
        let run = &take.performance;
        let p99_us = measure::burst_latency(&run.service.requests).p99_us;
        RoundOutcome { p99_us, batch_ops: run.batch_ops() }
    }
}

fn recover_ms(take: &Take, shape: &Shape, target: Micros) -> Vec<f64> {
    let run = &take.performance;
    let span = Nanos(run.service.span_ns);
    let recover = shape.burst_starts(span).into_iter().map(|start| {
        let end = Nanos((start.0 + shape.burst.0).min(span.0));
        let burst = (start.as_micros().0, end.as_micros().0);
        measure::recover(&run.service.requests, burst, target.0).0 as f64 / 1000.0
    });
    recover.collect()
}

impl Series {
    /// This series and, behind it on the same axis, that of another take.
    fn followed_by(mut self, take: &Take, shape: &Shape) -> Series {
        let run = &take.performance;
        let bin = crate::load::report::BIN;
        self.bin_ms = bin.0 / 1_000_000;
        self.burst_ms = shape.burst.0 / 1_000_000;
        let from_ms = self.bin_ms * self.service_p99_us.len() as u64;
        let starts = shape.burst_starts(Nanos(run.service.span_ns));
        self.burst_starts_ms.extend(starts.iter().map(|at| from_ms + at.0 / 1_000_000));
        let later = |limit: &LimitSample| LimitSample {
            at_ms: limit.at_ms.saturating_add_unsigned(from_ms),
            ..*limit
        };
        self.limits.extend(run.limits.iter().map(later));
        let ops_in = |n: usize| {
            let from = run.started_at().after(Nanos(n as u64 * bin.0));
            run.hogs.iter().map(|hog| hog.ops_between(from, from.after(bin))).sum::<u64>()
        };
        self.batch_ops.extend((0..run.service.bins.len()).map(ops_in));
        self.service_p99_us.extend(run.service.bins.iter().map(|bin| bin.p99_us));
        let suppressions = take.agent.iter().flat_map(|agent| &agent.suppressions);
        let during = suppressions.filter(|it| it.done_at >= run.started_at());
        self.suppressions.extend(during.map(|it| SuppressionMark {
            at_ms: from_ms as f64 + it.done_at.since(run.started_at()).0 as f64 / 1e6,
            took_ms: it.latency.0 as f64 / 1000.0,
        }));
        self
    }
}

/// What the agent cost and how fast it acted; nothing for takes without an agent.
pub fn agent_keys(takes: &[Take], done: &PhaseOutcome) -> BTreeMap<String, f64> {
    let agents: Vec<&AgentTake> = takes.iter().filter_map(|take| take.agent.as_ref()).collect();
    let Some(last) = agents.last() else { return BTreeMap::new() };
    let suppressions = agents.iter().flat_map(|agent| &agent.suppressions);
    let latencies_ms: Vec<f64> = suppressions.map(|it| it.latency.0 as f64 / 1000.0).collect();
    let cpu: u64 = agents.iter().map(|agent| agent.cpu.0).sum();
    let counted: u64 = agents.iter().map(|agent| agent.counted.0).sum();
    let mut keys = vec![
        ("agent_rss_bytes", last.cost.rss.0 as f64),
        ("agent_cpu_ratio", cpu as f64 / counted.max(1) as f64),
        ("suppress_events", latencies_ms.len() as f64),
    ];
    if let Some(memory) = last.cost.memory_current {
        keys.push(("agent_memory_current_bytes", memory.0 as f64));
    }
    if let Some((p50, p99, max)) = spread(&latencies_ms) {
        keys.extend([("suppress_ms_p50", p50), ("suppress_ms_p99", p99), ("suppress_ms_max", max)]);
    }
    if let Some((p50, p99, _)) = spread(&done.recover_ms) {
        keys.extend([("recover_ms_p50", p50), ("recover_ms_p99", p99)]);
    }
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// p50, p99 and the largest of a few values, in the values' own unit; `None` for none.
pub fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut in_thousandths: Vec<u64> = values.iter().map(|value| (value * 1000.0) as u64).collect();
    in_thousandths.sort_unstable();
    let quantile = |per_mille| Some(of_sorted(&in_thousandths, per_mille)? as f64 / 1000.0);
    Some((quantile(500)?, quantile(990)?, quantile(1000)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_none_is_none() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[4.0]), Some((4.0, 4.0, 4.0)));
        let (p50, p99, max) = spread(&[1.0, 2.0, 3.0, 50.0]).expect("values");
        assert_eq!((p50, p99, max), (2.0, 50.0, 50.0));
    }
}
