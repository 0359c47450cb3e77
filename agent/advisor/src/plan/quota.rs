//! The quota of reclaimed work where it runs everywhere (`dynamic_quota`), divided among its groups.
//!
//! # Problem
//! `provision` says how much CPU reclaimed work of a region may use. No group of ours stands above all
//! of it, so each one holds a part in its own `cpu.max`, and what one does not use another needs.
//!
//! # Units
//! Thousandths of a CPU.
//!
//! # Approach
//! 1. Work that is bound to a NUMA node with a quota of its own shares that with the part of the
//!    unbound work that runs there; unbound work has what all regions leave it.
//! 2. Each group gets what it uses and an equal part of the rest. Where even use is too much, all
//!    are filled to one level.
//! 3. A part that would change by little stays, so that a quiet node writes nothing.
//!
//! # Worked example
//! A quota of 4000 for groups that use 500, 2000 and 0: 1500 are left, 500 for each, so 1000, 2500 and
//! 500. If they used 3000, 3000 and 0, the level would be 2000: 2000, 2000 and 0, and the last one
//! has the kernel's least, 10.
//!
//! # Limits
//! A group that wakes up has its equal part for one tick and grows from there.

use std::collections::BTreeMap;

use model::knob::CpuMax;
use model::ledger::{Ledger, Place};
use model::plan::Ceiling;
use model::provision::ReclaimKnob;
use model::qos::{PoolName, WorkloadName};
use model::snapshot::WorkloadView;
use model::{Micros, MilliCpu, NumaNodeId};

use super::need::{Demand, water_fill};
use super::{Node, PlanInput};

/// The kernel refuses less than 1 ms in 100 ms.
const LEAST: u64 = CpuMax::MIN_QUOTA.0 * 1000 / CpuMax::PERIOD.0;

/// A twentieth: usage swings by more from second to second.
const SMALL_CHANGE_DIVISOR: u64 = 20;

/// The part of every reclaimed workload; empty where no quota holds them.
pub(super) fn parts(
    input: &PlanInput<'_>,
    node: &Node,
    ledger: &Ledger,
) -> BTreeMap<WorkloadName, MilliCpu> {
    if node.provision.knob != ReclaimKnob::Quota {
        return BTreeMap::new();
    }
    let mut groups: BTreeMap<Option<NumaNodeId>, Vec<Group<'_>>> = BTreeMap::new();
    for (name, view) in input.snapshot.workloads.iter().filter(|(_, w)| w.spec.qos.is_reclaimed()) {
        let place = ledger.pods.get(name.as_str()).map(|resident| resident.place);
        let home = match place {
            Some(Place::Node(id)) if quota_on(node, id).is_some() => Some(id),
            _ => None,
        };
        groups.entry(home).or_default().push(Group::new(input, name, view));
    }
    let unbound = groups.remove(&None).unwrap_or_default();
    let mut left = node.provision.quota.get(PoolName::RECLAIM).map_or(0, |quota| quota.0);
    let mut parts = BTreeMap::new();
    for layout in &node.layout.nodes {
        let Some(quota) = quota_on(node, layout.id) else { continue };
        let bound = groups.remove(&Some(layout.id)).unwrap_or_default();
        let for_unbound = if unbound.is_empty() { 0 } else { for_unbound(quota, &bound) };
        left = left.saturating_add(for_unbound);
        divide(quota - for_unbound, &bound, &mut parts);
    }
    divide(left, &unbound, &mut parts);
    parts
}

/// Unbound work runs on a node as well: it is one more with an equal part of the rest.
fn for_unbound(quota: u64, bound: &[Group<'_>]) -> u64 {
    let used = bound.iter().map(|group| group.used).fold(0, u64::saturating_add);
    quota.saturating_sub(used) / (bound.len() as u64 + 1)
}

fn quota_on(node: &Node, id: NumaNodeId) -> Option<u64> {
    let name = PoolName::from(PoolName::RECLAIM).on_node(id);
    node.provision.quota.get(&name).map(|quota| quota.0)
}

/// One reclaimed workload.
struct Group<'a> {
    name: &'a WorkloadName,
    used: u64,
    before: Option<u64>,
}

impl<'a> Group<'a> {
    fn new(input: &PlanInput<'_>, name: &'a WorkloadName, view: &WorkloadView) -> Group<'a> {
        let earlier = input.previous.filter(|plan| plan.advice.ceilings.contains_key(name));
        let earlier = earlier.and_then(|plan| plan.workloads.get(name)?.cpu_max);
        // One that is new has used nothing yet.
        let used = view.usage.map_or(0, |usage| usage.0);
        Group { name, used, before: earlier.and_then(milli) }
    }
}

fn milli(max: CpuMax) -> Option<u64> {
    max.quota.map(|quota| quota.0.saturating_mul(1000) / max.period.0.max(1))
}

fn divide(quota: u64, groups: &[Group<'_>], parts: &mut BTreeMap<WorkloadName, MilliCpu>) {
    let fresh = fresh(quota, groups);
    let kept = groups.iter().zip(&fresh).map(|(group, fresh)| match group.before {
        Some(before) if fresh.abs_diff(before) <= before / SMALL_CHANGE_DIVISOR => before,
        _ => *fresh,
    });
    let kept: Vec<u64> = kept.collect();
    let fits = kept.iter().sum::<u64>() <= quota.max(fresh.iter().sum());
    let chosen = if fits { kept } else { fresh };
    parts.extend(
        groups.iter().zip(chosen).map(|(group, part)| (group.name.clone(), MilliCpu(part))),
    );
}

fn fresh(quota: u64, groups: &[Group<'_>]) -> Vec<u64> {
    let used: u64 = groups.iter().map(|group| group.used).fold(0, u64::saturating_add);
    let parts = match quota.checked_sub(used) {
        Some(rest) => {
            let each = rest / (groups.len() as u64).max(1);
            groups.iter().map(|group| group.used + each).collect()
        }
        None => {
            let demands = groups.iter().map(|group| Demand { want: group.used });
            water_fill(quota, &demands.collect::<Vec<_>>())
        }
    };
    parts.into_iter().map(|part| part.max(LEAST)).collect()
}

/// A part as `cpu.max`, never over what the workload may have anyway.
pub(super) fn as_max(part: MilliCpu, ceiling: CpuMax) -> CpuMax {
    match milli(ceiling) {
        Some(own) if own <= part.0 => ceiling,
        _ => {
            let quota = Micros(part.0.saturating_mul(CpuMax::PERIOD.0) / 1000);
            CpuMax { quota: Some(quota.max(CpuMax::MIN_QUOTA)), period: CpuMax::PERIOD }
        }
    }
}

/// What each workload may have without a part, to be remembered while it has one.
pub(super) fn ceiling_before(
    input: &PlanInput<'_>,
    name: &WorkloadName,
    view: &WorkloadView,
) -> Option<CpuMax> {
    let held = input.previous?.advice.ceilings.get(name)?;
    (held.cgroup == view.cgroup).then_some(held.max)
}

/// To remember.
pub(super) fn remembered(view: &WorkloadView, max: CpuMax) -> Ceiling {
    Ceiling { cgroup: view.cgroup.clone(), max }
}

#[cfg(test)]
mod tests;
