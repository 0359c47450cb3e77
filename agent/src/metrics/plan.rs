//! What is decided: pools, what is left for batch work, promises, suppressions, decisions and findings.

use model::plan::Severity;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Seen;
use super::labels::{Maybe, Numa, Pool, Ratio, Rule, count, seconds, set_or_clear};
use crate::node_state::NodeState;

#[derive(Clone, Debug, Default)]
pub(super) struct PlanMetrics {
    decisions: Family<Rule, Counter>,
    findings: Family<Rule, Gauge>,
    finding_ticks: Family<Rule, Counter>,
    refused: Gauge,
    age: Ratio,
    pool_cpus: Family<Pool, Gauge>,
    headroom: Headroom,
    residents: Gauge,
    reserved: Gauge,
    suppressed: Gauge,
    suppressions: Counter,
    suppression_p99: Maybe,
}

#[derive(Clone, Debug, Default)]
struct Headroom {
    cpu: Maybe,
    memory: Maybe,
    numa_cpu: Family<Numa, Ratio>,
    numa_memory: Family<Numa, Ratio>,
}

impl PlanMetrics {
    pub(super) fn register(registry: &mut Registry) -> PlanMetrics {
        let plan = PlanMetrics::default();
        let m = &plan;
        registry.register("decisions", "Decisions made, by rule", m.decisions.clone());
        registry.register("findings", "Open findings, by rule", m.findings.clone());
        let ticks = "Ticks in which a finding of this rule was open";
        registry.register("finding_ticks", ticks, m.finding_ticks.clone());
        let refused = "1 while the lint refuses what was planned: the Plan before stays";
        registry.register("plan_refused", refused, m.refused.clone());
        let age = "Age of the readings that the Plan in force was made from";
        registry.register_with_unit("plan_age", age, Unit::Seconds, m.age.clone());
        registry.register("pool_cpus", "CPUs in a pool", m.pool_cpus.clone());
        registry.register("ledger_pods", "Pods and workloads admitted", m.residents.clone());
        let reserved = "Pods that were promised CPUs and have not been seen yet";
        registry.register("ledger_reserved", reserved, m.reserved.clone());
        let suppressed = "1 while reclaimed work is held down";
        registry.register("suppressed", suppressed, m.suppressed.clone());
        registry.register("suppressions", "Suppressions carried out", m.suppressions.clone());
        registry.register_with_unit(
            "suppression_latency_p99",
            "First long wait to last read-back, 99th percentile; without a series as long as there was none",
            Unit::Seconds,
            m.suppression_p99.clone(),
        );
        m.headroom.register(registry);
        plan
    }

    pub(super) fn observe(&self, state: &NodeState, seen: &Seen) {
        self.pool_cpus.clear();
        for (name, pool) in &state.plan.pools {
            let label = Pool { pool: name.to_string() };
            self.pool_cpus.get_or_create(&label).set(count(pool.cpus.len()));
        }
        self.age.set(seconds(state.snapshot.at.since(state.plan.snapshot_at)));
        self.residents.set(count(state.plan.ledger.pods.len()));
        self.reserved.set(count(state.plan.ledger.reserved.len()));
        self.headroom.observe(state);
        self.findings(state, seen);
        for (_, decision) in state.decisions.after(seen.decisions) {
            self.decisions.get_or_create(&Rule { rule: decision.rule.to_owned() }).inc();
        }
        let suppressed = state.overlay.as_ref().is_some_and(|o| o.expires_at > state.snapshot.at);
        self.suppressed.set(i64::from(suppressed));
        self.suppressions.inc_by(state.suppression.n_events.saturating_sub(seen.suppressions));
        set_or_clear(&self.suppression_p99, state.suppression.p99.map(seconds));
    }

    fn findings(&self, state: &NodeState, seen: &Seen) {
        self.findings.clear();
        let mut is_refused = false;
        for finding in state.findings.iter().filter(|f| f.severity > Severity::Note) {
            let rule = Rule { rule: finding.rule.to_owned() };
            let first = self.findings.get_or_create(&rule).inc() == 0;
            if first && seen.is_new_tick(state) {
                self.finding_ticks.get_or_create(&rule).inc();
            }
            is_refused |= finding.severity == Severity::Fatal;
        }
        self.refused.set(i64::from(is_refused));
    }
}

impl Headroom {
    fn register(&self, registry: &mut Registry) {
        let cpu = "CPUs that reclaimed work may still be promised, what it has included";
        registry.register("headroom_cpus", cpu, self.cpu.clone());
        let part = "The part of a NUMA node in it";
        registry.register("headroom_numa_cpus", part, self.numa_cpu.clone());
        let memory = "Memory that reclaimed work may still be promised, what it has included";
        registry.register_with_unit("headroom_memory", memory, Unit::Bytes, self.memory.clone());
        let numa = self.numa_memory.clone();
        registry.register_with_unit("headroom_numa_memory", part, Unit::Bytes, numa);
    }

    fn observe(&self, state: &NodeState) {
        let told = state.plan.advice.headroom.as_ref();
        let cpu = told.and_then(|told| told.cpu.value.as_ref().ok());
        set_or_clear(&self.cpu, cpu.map(|milli| milli.0 as f64 / 1e3));
        let memory = told.and_then(|told| told.memory.value.as_ref().ok());
        set_or_clear(&self.memory, memory.map(|bytes| bytes.0 as f64));
        self.numa_cpu.clear();
        self.numa_memory.clear();
        for (node, part) in told.into_iter().flat_map(|told| &told.per_numa) {
            let label = Numa { numa_node: u32::from(node.0) };
            if let Some(cpu) = part.cpu {
                self.numa_cpu.get_or_create(&label).set(cpu.0 as f64 / 1e3);
            }
            if let Some(memory) = part.memory {
                self.numa_memory.get_or_create(&label).set(memory.0 as f64);
            }
        }
    }
}
