//! Prometheus metrics of the agent. Registers in the registry handed to it; the prefix is the
//! caller's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use model::plan::Severity;
use model::qos::WorkloadName;
use model::sample::{Pressure, WaitCauses};
use model::snapshot::Signal;
use model::{Nanos, SlotId};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;

use crate::node_state::NodeState;

type Ratio = Gauge<f64, AtomicU64>;

/// Offenders of one workload that have a series of their own; a node of a thousand workloads would
/// have a million otherwise.
const MAX_OFFENDERS: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rule {
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pool {
    pool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Workload {
    workload: String,
    qos: &'static str,
}

/// Who waited, and what ran or stood in the way meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitCause {
    workload: String,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Offence {
    workload: String,
    offender: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Window {
    window: &'static str,
}

/// One sentence, which does not change while the agent runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    signal: &'static str,
}

/// Handles of every metric.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    decisions: Family<Rule, Counter>,
    findings: Family<Rule, Gauge>,
    pool_cpus: Family<Pool, Gauge>,
    runq_p99: Family<Workload, Ratio>,
    usage: Family<Workload, Ratio>,
    throttled: Family<Workload, Ratio>,
    pressure: Family<Workload, Ratio>,
    waited: Family<WaitCause, Ratio>,
    waited_for: Family<Offence, Ratio>,
    unknown: Family<Workload, Ratio>,
    host_pressure: Family<Window, Ratio>,
    suppressed: Gauge,
    suppressions: Gauge,
    suppression_p99: Ratio,
    probe_loaded: Gauge,
    probe_off: Family<Why, Gauge>,
    psi_off: Family<Why, Gauge>,
    signal: Family<Source, Gauge>,
    rss: Gauge,
    cpu_ratio: Ratio,
    enforcing: Gauge,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let m = &metrics;
        registry.register("decisions", "Decisions made, by rule", m.decisions.clone());
        registry.register("findings", "Open findings, by rule", m.findings.clone());
        registry.register("pool_cpus", "CPUs in a pool", m.pool_cpus.clone());
        registry.register_with_unit(
            "workload_runq_wait_p99",
            "Run-queue wait, 99th percentile of the last tick",
            Unit::Seconds,
            m.runq_p99.clone(),
        );
        Metrics::register_waiting(registry, m);
        registry.register("workload_usage_cpus", "CPUs used over the last tick", m.usage.clone());
        registry.register(
            "suppressed",
            "1 while reclaimed work is held down",
            m.suppressed.clone(),
        );
        registry.register(
            "suppressions_measured",
            "Suppressions carried out since the start",
            m.suppressions.clone(),
        );
        registry.register_with_unit(
            "suppression_latency_p99",
            "First long wait to last read-back, 99th percentile",
            Unit::Seconds,
            m.suppression_p99.clone(),
        );
        registry.register(
            "probe_loaded",
            "1 when the BPF probes are attached",
            m.probe_loaded.clone(),
        );
        registry.register(
            "probe_off",
            "1, with the reason, when the BPF probes are not attached",
            m.probe_off.clone(),
        );
        registry.register(
            "psi_off",
            "1, with the reason, when the kernel keeps no pressure",
            m.psi_off.clone(),
        );
        registry.register(
            "signal",
            "1 for how contention is seen: good, degraded, pressure_only or none",
            m.signal.clone(),
        );
        registry.register_with_unit(
            "resident_memory",
            "The agent's RSS",
            Unit::Bytes,
            m.rss.clone(),
        );
        registry.register("cpu_ratio", "CPUs the agent itself uses", m.cpu_ratio.clone());
        registry.register("enforcing", "1 in enforce mode, 0 in observe mode", m.enforcing.clone());
        metrics
    }

    /// What `berth why-slow` shows, for whoever looks at a graph instead.
    fn register_waiting(registry: &mut Registry, m: &Metrics) {
        registry.register_with_unit(
            "workload_runq_wait",
            "Time its tasks waited for a CPU over the last tick, by cause; offenders are told one by one",
            Unit::Seconds,
            m.waited.clone(),
        );
        registry.register_with_unit(
            "workload_runq_wait_for",
            "Time its tasks waited while another workload ran over the last tick; the worst few of each",
            Unit::Seconds,
            m.waited_for.clone(),
        );
        registry.register(
            "workload_runq_wait_unknown_ratio",
            "Share of that time whose cause is not known; over 0.05 the probe does not see enough",
            m.unknown.clone(),
        );
        registry.register(
            "workload_throttled_ratio",
            "Share of the periods of the last tick in which its own cpu.max throttled it",
            m.throttled.clone(),
        );
        registry.register(
            "workload_cpu_pressure_ratio",
            "PSI: share of the last ten seconds in which some of its tasks waited for a CPU",
            m.pressure.clone(),
        );
        registry.register(
            "host_cpu_pressure_ratio",
            "PSI: share of the last ten seconds in which some task of the machine waited for a CPU",
            m.host_pressure.clone(),
        );
    }

    /// Follows the published state until its end. Done by whoever serves the metrics, not by the
    /// loop: a scrape holds their locks.
    pub async fn follow(self, mut state: watch::Receiver<Option<Arc<NodeState>>>) {
        let mut counted = 0;
        while state.changed().await.is_ok() {
            let Some(state) = state.borrow_and_update().clone() else { continue };
            self.observe(&state);
            for (_, decision) in state.decisions.after(counted) {
                self.decisions.get_or_create(&Rule { rule: decision.rule.to_owned() }).inc();
            }
            counted = state.decisions.newest();
        }
    }

    /// Sets every gauge to the state of this tick; workloads that are gone lose their series.
    fn observe(&self, state: &NodeState) {
        self.workloads(state);
        self.pool_cpus.clear();
        for (name, pool) in &state.plan.pools {
            let n_cpus = i64::try_from(pool.cpus.len()).unwrap_or(i64::MAX);
            self.pool_cpus.get_or_create(&Pool { pool: name.to_string() }).set(n_cpus);
        }
        self.findings.clear();
        for finding in state.findings.iter().filter(|f| f.severity > Severity::Note) {
            self.findings.get_or_create(&Rule { rule: finding.rule.to_owned() }).inc();
        }
        let suppressed = state.overlay.as_ref().is_some_and(|o| o.expires_at > state.snapshot.at);
        self.suppressed.set(i64::from(suppressed));
        self.suppressions.set(i64::try_from(state.suppression.n_events).unwrap_or(i64::MAX));
        self.suppression_p99.set(state.suppression.p99.map_or(0.0, |p99| p99.0 as f64 / 1e9));
        self.eyes(state);
        let rss = state.agent.rss_bytes.map_or(0, |rss| rss.0);
        self.rss.set(i64::try_from(rss).unwrap_or(i64::MAX));
        self.cpu_ratio.set(state.agent.cpu_ratio.unwrap_or(0.0));
        self.enforcing.set(i64::from(state.mode == model::policy::Mode::Enforce));
    }

    fn eyes(&self, state: &NodeState) {
        let eyes = &state.agent.eyes;
        self.probe_loaded.set(i64::from(eyes.probe.works));
        for (status, off) in [(&eyes.probe, &self.probe_off), (&eyes.pressure, &self.psi_off)] {
            if !status.works {
                off.get_or_create(&Why { why: status.text.clone() }).set(1);
            }
        }
        let signal = match &state.snapshot.signal {
            Signal::Good => "good",
            Signal::Degraded { .. } => "degraded",
            Signal::PressureOnly { .. } => "pressure_only",
            Signal::None { .. } => "none",
        };
        self.signal.clear();
        self.signal.get_or_create(&Source { signal }).set(1);
    }

    fn workloads(&self, state: &NodeState) {
        for family in [&self.runq_p99, &self.usage, &self.throttled, &self.pressure, &self.unknown]
        {
            family.clear();
        }
        self.waited.clear();
        self.waited_for.clear();
        self.host_pressure.clear();
        if let Some(pressure) = &state.snapshot.host.cpu_pressure {
            self.host_pressure.get_or_create(&Window { window: "10s" }).set(some(pressure));
        }
        let workloads = &state.snapshot.workloads;
        let names = workloads.iter().map(|(name, workload)| (workload.slot, name)).collect();
        for (name, workload) in workloads {
            let label = Workload { workload: name.to_string(), qos: workload.spec.qos.name() };
            let set = |family: &Family<Workload, Ratio>, value: Option<f64>| {
                if let Some(value) = value {
                    family.get_or_create(&label).set(value);
                }
            };
            let p99 = workload.runq.as_ref().and_then(|runq| runq.p99);
            set(&self.runq_p99, p99.map(seconds));
            set(&self.usage, workload.usage.map(|usage| usage.0 as f64 / 1e3));
            set(&self.throttled, workload.throttled_ratio);
            set(&self.pressure, workload.cpu_pressure.as_ref().map(some));
            if let Some(runq) = &workload.runq {
                set(&self.unknown, Some(unknown_ratio(&runq.causes)));
                self.causes(name, &runq.causes);
                self.offenders(name, &runq.causes, &names);
            }
        }
    }

    fn causes(&self, name: &WorkloadName, causes: &WaitCauses) {
        let causes = [
            ("own_throttle", causes.own_throttle),
            ("own_group", causes.own_group),
            ("idle_or_steal", causes.idle_or_steal),
            ("untracked", causes.untracked),
            ("unknown", causes.unknown),
        ];
        for (cause, waited) in causes.into_iter().filter(|(_, waited)| waited.0 > 0) {
            let label = WaitCause { workload: name.to_string(), cause };
            self.waited.get_or_create(&label).set(seconds(waited));
        }
    }

    fn offenders(&self, name: &WorkloadName, causes: &WaitCauses, names: &Names<'_>) {
        let mut worst: Vec<(SlotId, Nanos)> =
            causes.by_offender.iter().map(|(slot, waited)| (*slot, *waited)).collect();
        worst.sort_by_key(|(_, waited)| std::cmp::Reverse(*waited));
        for (idx, (slot, waited)) in worst.into_iter().enumerate() {
            let offender = match names.get(&slot) {
                _ if idx >= MAX_OFFENDERS => "(others)".to_owned(),
                Some(name) => name.to_string(),
                None => "(gone)".to_owned(),
            };
            let label = Offence { workload: name.to_string(), offender };
            self.waited_for.get_or_create(&label).inc_by(seconds(waited));
        }
    }
}

type Names<'a> = BTreeMap<SlotId, &'a WorkloadName>;

fn seconds(nanos: Nanos) -> f64 {
    nanos.0 as f64 / 1e9
}

fn some(pressure: &Pressure) -> f64 {
    pressure.some.avg10_pct / 100.0
}

/// Of the waited time; nothing waited is nothing unknown.
fn unknown_ratio(causes: &WaitCauses) -> f64 {
    causes.unknown.0 as f64 / causes.total.0.max(1) as f64
}

#[cfg(test)]
mod tests;
