//! Prometheus metrics of the agent. Registers in the registry handed to it; the prefix is the
//! caller's.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use model::plan::Severity;
use model::snapshot::Signal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;

use crate::node_state::NodeState;

type Ratio = Gauge<f64, AtomicU64>;

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
        self.runq_p99.clear();
        self.usage.clear();
        for (name, workload) in &state.snapshot.workloads {
            let label = Workload { workload: name.to_string(), qos: workload.spec.qos.name() };
            if let Some(p99) = workload.runq.as_ref().and_then(|runq| runq.p99) {
                self.runq_p99.get_or_create(&label).set(p99.0 as f64 / 1e9);
            }
            if let Some(usage) = workload.usage {
                self.usage.get_or_create(&label).set(usage.0 as f64 / 1e3);
            }
        }
    }
}
