//! The slower rules in a Plan: headroom, memory, bursts. Owns how a Snapshot becomes what they measure
//! and which of a workload's files they fill; the rules are `headroom`, `memory` and `burst`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::decision::Decision;
use model::derive::WORKLOADS;
use model::headroom::{Amount, Explained};
use model::knob::CpuMax;
use model::ledger::{Ledger, Resident};
use model::measured::{Measured, NodeMemory, PodMeasure};
use model::plan::Advice;
use model::qos::PodUid;
use model::snapshot::{Signal, Snapshot, WorkloadView};
use model::{Bytes, MilliCpu, Nanos, NumaNodeId, Timestamp};

use super::{Node, PlanInput, PlanReport};
use crate::burst::{self, Burst, BurstInput};
use crate::headroom::{self, HeadroomInput};
use crate::hint::PlacementInput;
use crate::memory::{binder, guard, protect};
use crate::pool::Pools;

/// What the rules say, by pod where it concerns one.
pub(super) struct Said {
    pub(super) advice: Advice,
    pub(super) bursts: BTreeMap<PodUid, Burst>,
    pub(super) protections: protect::Protections,
    pub(super) guard: guard::Guard,
}

pub(super) fn advise(
    input: &PlanInput<'_>,
    node: &Node,
    (ledger, pools, measured): (&Arc<Ledger>, &Pools, &Measured),
    report: &mut PlanReport,
) -> Said {
    let nothing = Advice::default();
    let before = input.previous.map_or(&nothing, |plan| &plan.advice);
    let policy = input.policy;
    let pressure = binder::observe(&policy.memory, &before.pressure, measured, input.now);
    let (bursts, burst_state) = burst::bursts(&BurstInput {
        now: input.now,
        rules: &policy.burst,
        ledger,
        measured: Some(measured).filter(|_| node.is_fresh()),
        quotas: &quotas(input.snapshot),
        state: &before.bursts,
    });
    let (headroom, headroom_state) = headroom::headroom(&HeadroomInput {
        placement: PlacementInput {
            now: input.now,
            layout: &node.layout,
            policy: &policy.placement,
            ledger,
            headroom: None,
        },
        tally: &node.tally,
        pools,
        policy: &policy.headroom,
        measured,
        measured_at: measured_at(input.snapshot),
        quota: &headroom::cpu::quota_by_pool(&node.layout, &node.provision.quota),
        state: &before.headroom_state,
    });
    let [cpu, memory] = before.told;
    let told = [
        tell(input.now, "cpu", (cpu, &headroom.cpu), report),
        tell(input.now, "memory", (memory, &headroom.memory), report),
    ];
    let protection = &policy.memory.protection;
    let headroom = Some(headroom);
    Said {
        advice: Advice {
            headroom,
            headroom_state,
            told,
            pressure,
            bursts: burst_state,
            ..Advice::default()
        },
        bursts,
        protections: protect::protect(protection, &node.layout, &node.tally, ledger),
        guard: guard::guard(&policy.memory, &node.layout, measured),
    }
}

/// A promise that changed is a decision, with every term of its arithmetic.
fn tell(
    now: Timestamp,
    subject: &str,
    (before, after): (Option<Amount>, &Explained),
    report: &mut PlanReport,
) -> Option<Amount> {
    let value = *after.value.as_ref().ok()?;
    if before == Some(value) {
        return before;
    }
    let terms =
        after.terms.iter().map(|term| (term.name, format!("{} {}", term.amount, term.from)));
    report.decisions.push(Decision {
        at: now,
        rule: "headroom",
        subject: subject.to_owned(),
        inputs: terms.collect(),
        result: format!("{} {} may be promised to batch work", value.0, after.unit),
    });
    Some(value)
}

/// The pods and the memory of a Snapshot, by the ids that placement knows.
pub(super) fn measured(snapshot: &Snapshot) -> Measured {
    // Where a hypervisor takes CPUs away tasks wait that would not, and wait for nobody here.
    let is_clear = snapshot.signal == Signal::Good;
    let pods = snapshot.workloads.iter().map(|(name, view)| {
        let memory = &view.memory;
        let measure = PodMeasure {
            cpu: view.usage,
            runq_p99: view.runq_p99(),
            runnable: view.runq.as_ref().and_then(|runq| runq.runnable).filter(|_| is_clear),
            cpi: None,
            throttled_ratio: view.throttled_ratio,
            rss: memory.anon,
            cache: memory.file.map(|file| less(file, memory.shmem)),
            shmem: memory.shmem,
        };
        (PodUid::new(name.as_str()), measure)
    });
    Measured {
        pods: pods.collect(),
        cpu_busy_ratio: snapshot.host.cpu_busy_ratio.clone(),
        memory: memory(snapshot),
    }
}

fn less(all: Bytes, part: Option<Bytes>) -> Bytes {
    Bytes(all.0.saturating_sub(part.unwrap_or_default().0))
}

/// Memory of the nodes, with what reclaimed work has of it.
fn memory(snapshot: &Snapshot) -> BTreeMap<NumaNodeId, NodeMemory> {
    let mut memory = snapshot.host.memory.clone();
    let reclaimed = || snapshot.workloads.values().filter(|view| view.spec.qos.is_reclaimed());
    if let [only] = &mut memory.values_mut().collect::<Vec<_>>()[..] {
        only.reclaimed_used = sum(reclaimed().map(|view| view.memory_current));
        return memory;
    }
    for (id, node) in &mut memory {
        node.reclaimed_used = sum(reclaimed().map(|view| used_on(view, *id)));
    }
    memory
}

/// What a group has on one of several nodes: missing where the file was never read, or too long ago.
fn used_on(view: &WorkloadView, node: NumaNodeId) -> Option<Bytes> {
    let memory = &view.memory;
    let is_known = memory.per_node_health.age.is_some_and(|age| age <= MAX_NODE_USE_AGE);
    // The kernel lists every node with memory.
    is_known.then(|| memory.per_node.get(&node).copied()).flatten()
}

/// The file is read every ten seconds: two readings may be missed.
const MAX_NODE_USE_AGE: Nanos = Nanos::from_secs(30);

/// Missing as soon as one part is.
fn sum(parts: impl Iterator<Item = Option<Bytes>>) -> Option<Bytes> {
    let mut parts = parts;
    parts.try_fold(Bytes(0), |sum, used| Some(Bytes(sum.0.saturating_add(used?.0))))
}

/// Quotas that workloads came with.
fn quotas(snapshot: &Snapshot) -> BTreeMap<PodUid, MilliCpu> {
    let quota = |max: CpuMax| {
        max.quota.map(|quota| MilliCpu(quota.0.saturating_mul(1000) / max.period.0.max(1)))
    };
    let of = |view: &WorkloadView| view.knobs.cpu_max.and_then(quota);
    let all = snapshot.workloads.iter().filter(|(_, view)| !view.spec.qos.is_reclaimed());
    all.filter_map(|(name, view)| Some((PodUid::new(name.as_str()), of(view)?))).collect()
}

fn measured_at(snapshot: &Snapshot) -> Option<Timestamp> {
    let age = snapshot.sources.get(WORKLOADS)?.age?;
    Some(Timestamp(snapshot.at.0.saturating_sub(age.0)))
}

impl Said {
    /// Memory nodes of a resident, where the node has more than one: pressure comes off.
    pub(super) fn mems(&self, node: &Node, resident: &Resident) -> model::NumaSet {
        binder::mems(&node.layout, &node.tally, &self.advice.pressure, resident)
    }
}

#[cfg(test)]
mod tests;
