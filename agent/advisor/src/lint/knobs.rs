//! What the values of one workload must be among each other, whoever decided them: what the kernel
//! would refuse, and what it would take although it makes no sense.

use std::collections::BTreeSet;

use model::knob::{Knob, KnobValue, MemoryLimit};
use model::plan::{Finding, Plan, WorkloadPlan};
use model::qos::WorkloadName;
use model::snapshot::Snapshot;
use model::{Micros, NumaNodeId};

use super::fatal;

pub(super) fn check(snapshot: &Snapshot, plan: &Plan, found: &mut Vec<Finding>) {
    // A node of which the size is not known may have memory; one that is known to have none has not.
    let nodes = snapshot.topology.nodes.values();
    let with_memory: BTreeSet<NumaNodeId> = nodes
        .filter(|node| node.memory.is_none_or(|memory| memory.0 > 0))
        .map(|node| node.id)
        .collect();
    for (name, workload) in &plan.workloads {
        let quota = quota(snapshot, name, workload);
        let wrong = [
            burst(workload, quota),
            mems(workload, &with_memory),
            order(workload, Knob::MemoryMin, Knob::MemoryLow, "memory-min-over-low"),
            order(workload, Knob::MemoryHigh, Knob::MemoryMax, "memory-high-over-max"),
            score(workload),
        ];
        let told = wrong.into_iter().flatten();
        found.extend(told.map(|(rule, why)| fatal(rule, name.as_str(), format!("{name} {why}"))));
    }
}

type Wrong = Option<(&'static str, String)>;

/// The quota that will stand: the Plan's, or the one it leaves alone.
fn quota(snapshot: &Snapshot, name: &WorkloadName, workload: &WorkloadPlan) -> Option<Micros> {
    let stands = || snapshot.workloads.get(name).and_then(|view| view.knobs.cpu_max);
    workload.cpu_max.or_else(stands).and_then(|max| max.quota)
}

fn burst(workload: &WorkloadPlan, quota: Option<Micros>) -> Wrong {
    let burst = workload.cpu_burst.filter(|burst| burst.0 > 0)?;
    let over = quota.is_none_or(|quota| burst > quota);
    let quota =
        quota.map_or_else(|| "no quota".to_owned(), |quota| format!("a quota of {quota} us"));
    over.then(|| ("burst-over-quota", format!("may save up {burst} us of {quota}")))
}

fn mems(workload: &WorkloadPlan, with_memory: &BTreeSet<NumaNodeId>) -> Wrong {
    let mems = workload.mems?;
    if mems.is_empty() {
        return Some(("mems-empty", "has no memory node".to_owned()));
    }
    let without: Vec<String> = mems
        .iter()
        .filter(|node| !with_memory.contains(node))
        .map(|node| node.to_string())
        .collect();
    let why = || format!("shall have memory on nodes without any: {}", without.join(","));
    (!without.is_empty()).then(|| ("mems-without-memory", why()))
}

fn limit(workload: &WorkloadPlan, knob: Knob) -> Option<MemoryLimit> {
    match workload.get(knob)? {
        KnobValue::MemoryMin(limit)
        | KnobValue::MemoryLow(limit)
        | KnobValue::MemoryHigh(limit)
        | KnobValue::MemoryMax(limit) => Some(limit),
        _ => None,
    }
}

/// Where the Plan says only one of the two, the other stands as its owner wrote it.
fn order(workload: &WorkloadPlan, less: Knob, more: Knob, rule: &'static str) -> Wrong {
    let (low, high) = (limit(workload, less)?, limit(workload, more)?);
    let why = || format!("has {} {low} over {} {high}", less.file(), more.file());
    (low > high).then(|| (rule, why()))
}

fn score(workload: &WorkloadPlan) -> Wrong {
    let score = workload.oom_score_adj.filter(|score| score.single().is_none())?;
    Some(("oom-score-range", format!("has an oom_score_adj of {score}, which is not one value")))
}
