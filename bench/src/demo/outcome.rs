//! What the demo writes: flat keys for machines, series for the plot. Pure; the names of the keys
//! are a contract with `xtask demo` and README.

use std::collections::BTreeMap;

use model::units::{Micros, Nanos};
use serde::Serialize;

use crate::arrivals::Shape;
use crate::demo::measure::{self, Quantiles};
use crate::demo::phase::{Phase, SweepRow};
use crate::demo::stage::Performance;
use crate::demo::witness::LimitSample;
use crate::histogram::LatencyHistogram;

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
    pub series: Series,
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
    pub fn new(phase: Phase, run: &Performance, shape: &Shape, target: Micros) -> PhaseOutcome {
        let requests = &run.service.requests;
        let span = Nanos(run.service.span_ns);
        let bursts = shape.burst_starts(span);
        let recover = bursts.iter().map(|start| {
            let end = Nanos((start.0 + shape.burst.0).min(span.0));
            let burst = (start.as_micros().0, end.as_micros().0);
            measure::recover(requests, burst, target.0).0 as f64 / 1000.0
        });
        PhaseOutcome {
            phase,
            burst: measure::burst_latency(requests),
            overall: measure::overall_latency(requests),
            runq: measure::burst_runq(requests),
            n_unfinished: run.service.n_unfinished,
            batch_ops: run.batch_ops(),
            node_cpu_util: run.node_cpu_util,
            recover_ms: recover.collect(),
            series: Series::of(run, shape),
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

impl Series {
    fn of(run: &Performance, shape: &Shape) -> Series {
        let span = Nanos(run.service.span_ns);
        let bins = &run.service.bins;
        let bin = crate::load::report::BIN;
        let ops_in = |n: usize| {
            let from = run.started_at().after(Nanos(n as u64 * bin.0));
            run.hogs.iter().map(|hog| hog.ops_between(from, from.after(bin))).sum()
        };
        Series {
            bin_ms: bin.0 / 1_000_000,
            service_p99_us: bins.iter().map(|bin| bin.p99_us).collect(),
            batch_ops: (0..bins.len()).map(ops_in).collect(),
            limits: run.limits.clone(),
            burst_starts_ms: shape.burst_starts(span).iter().map(|at| at.0 / 1_000_000).collect(),
            burst_ms: shape.burst.0 / 1_000_000,
            suppressions: Vec::new(),
        }
    }
}

/// p50, p99 and the largest of a few values, in the values' own unit; `None` for none.
pub fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let in_thousandths: LatencyHistogram =
        values.iter().map(|value| Micros((value * 1000.0) as u64)).collect();
    let quantile = |per_mille| Some(in_thousandths.quantile(per_mille)?.0 as f64 / 1000.0);
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
        assert!((2.0..2.1).contains(&p50), "{p50}");
        assert_eq!((p99, max), (50.0, 50.0));
    }
}
