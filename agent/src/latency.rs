//! How long a suppression took: from the kernel's timestamp of the burst's first over-threshold
//! wait to the read-back of the last Step it caused. Pure; the loop feeds it.

use std::collections::VecDeque;

use model::plan::{Generation, Outcome};
use model::{Nanos, Timestamp};

/// Events kept for the quantiles: at one suppression a second, the last hour and a bit.
const KEPT: usize = 4096;

/// Measures suppressions one by one.
#[derive(Clone, Debug, Default)]
pub struct SuppressionClock {
    running: Option<Running>,
    latencies: VecDeque<Nanos>,
    n_events: u64,
}

#[derive(Clone, Debug)]
struct Running {
    generation: Generation,
    first_wait_at: Timestamp,
    steps_left: usize,
    last_finished_at: Timestamp,
}

/// A finished measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    pub latency: Nanos,
}

/// Quantiles since the agent started (of the newest events when there were many).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    pub n_events: u64,
    pub p50: Option<Nanos>,
    pub p99: Option<Nanos>,
    pub max: Option<Nanos>,
}

impl SuppressionClock {
    /// A suppression's Steps were handed to the fast lane.
    pub fn began(&mut self, generation: Generation, first_wait_at: Timestamp, n_steps: usize) {
        if n_steps > 0 {
            let last_finished_at = first_wait_at;
            self.running =
                Some(Running { generation, first_wait_at, steps_left: n_steps, last_finished_at });
        }
    }

    /// An Outcome of the fast lane; answers when it was the last of a suppression.
    pub fn outcome(&mut self, outcome: &Outcome) -> Option<Measured> {
        let running = self.running.as_mut()?;
        if outcome.step.generation != running.generation {
            return None;
        }
        running.steps_left = running.steps_left.saturating_sub(1);
        running.last_finished_at = running.last_finished_at.max(outcome.finished_at);
        if running.steps_left > 0 {
            return None;
        }
        let latency = running.last_finished_at.since(running.first_wait_at);
        self.running = None;
        self.n_events += 1;
        if self.latencies.len() == KEPT {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency);
        Some(Measured { latency })
    }

    pub fn quantiles(&self) -> Quantiles {
        let mut sorted: Vec<Nanos> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        let at = |per_cent: usize| {
            let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied()
        };
        Quantiles { n_events: self.n_events, p50: at(50), p99: at(99), max: sorted.last().copied() }
    }
}

#[cfg(test)]
mod tests {
    use model::knob::KnobValue;
    use model::plan::{Applied, Phase, Step};
    use model::qos::{CgroupPath, WorkloadName};

    use super::*;

    fn outcome(generation: u64, finished_ms: u64) -> Outcome {
        let step = Step {
            generation: Generation(generation),
            workload: WorkloadName::from("b"),
            cgroup: CgroupPath::from("/b"),
            value: KnobValue::CpuIdle(true),
            phase: Phase::Take,
            rule: "test",
        };
        let finished_at = Timestamp(finished_ms * 1_000_000);
        Outcome { step, result: Ok(Applied::Written), finished_at, took: Nanos(0) }
    }

    #[test]
    fn the_last_read_back_counts() {
        let mut clock = SuppressionClock::default();
        clock.began(Generation(3), Timestamp(1_000_000), 2);
        assert_eq!(clock.outcome(&outcome(2, 3)), None, "another generation");
        assert_eq!(clock.outcome(&outcome(3, 5)), None);
        let measured = clock.outcome(&outcome(3, 9)).expect("done");
        assert_eq!(measured.latency, Nanos::from_millis(8));
        assert_eq!(clock.outcome(&outcome(3, 10)), None, "already done");
        assert_eq!(clock.quantiles().max, Some(Nanos::from_millis(8)));
    }

    #[test]
    fn quantiles_of_a_hundred() {
        let mut clock = SuppressionClock::default();
        for n in 1..=100 {
            clock.began(Generation(n), Timestamp(0), 1);
            clock.outcome(&outcome(n, n));
        }
        let quantiles = clock.quantiles();
        assert_eq!(quantiles.p50, Some(Nanos::from_millis(50)));
        assert_eq!(quantiles.p99, Some(Nanos::from_millis(99)));
        assert_eq!((quantiles.n_events, quantiles.max), (100, Some(Nanos::from_millis(100))));
        assert_eq!(SuppressionClock::default().quantiles(), Quantiles::default());
    }
}
