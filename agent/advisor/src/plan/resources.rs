//! Files of memory, bursts and the OOM killer of one workload, from what the slower rules say. `None`
//! leaves a file alone; with the default policy all but the memory nodes are.

use model::knob::{CpuMax, MemoryLimit, OomScoreAdj};
use model::ledger::Resident;
use model::plan::WorkloadPlan;
use model::qos::WorkloadName;
use model::snapshot::WorkloadView;
use model::{Micros, NumaSet};

use super::advice::Said;
use super::{Node, PlanInput};
use crate::burst;
use crate::memory::guard::Guard;
use crate::memory::oom;

/// Values of these files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resources {
    pub(super) cpu_burst: Option<Micros>,
    pub(super) mems: Option<NumaSet>,
    pub(super) memory_min: Option<MemoryLimit>,
    pub(super) memory_low: Option<MemoryLimit>,
    pub(super) memory_high: Option<MemoryLimit>,
    pub(super) memory_max: Option<MemoryLimit>,
    pub(super) oom_score_adj: Option<OomScoreAdj>,
}

/// What one workload's files should hold.
pub(super) fn of(
    input: &PlanInput<'_>,
    node: &Node,
    said: &Said,
    (name, view, resident): (&WorkloadName, &WorkloadView, Option<&Resident>),
) -> Resources {
    let before = input.previous.and_then(|plan| plan.workloads.get(name));
    let before = before.filter(|plan| plan.cgroup == view.cgroup);
    let Some(resident) = resident else { return Resources::default() };
    let (memory_high, memory_max) = limits(said, view, before);
    let protection = said.protections.pods.get(name.as_str());
    Resources {
        cpu_burst: cpu_burst(said, name, view),
        mems: mems(node, said, resident, before),
        memory_min: protection.map(|kept| MemoryLimit::at_most(kept.min)),
        memory_low: protection.map(|kept| MemoryLimit::at_most(kept.low)),
        memory_high,
        memory_max,
        oom_score_adj: match input.policy.memory.oom_priority {
            true => oom::score_adj(resident.ask.wish.oom_priority).and_then(OomScoreAdj::new),
            false => None,
        },
    }
}

/// A file that was never narrower than all nodes is not written: most machines have one node, and
/// moving memory is work.
fn mems(
    node: &Node,
    said: &Said,
    resident: &Resident,
    before: Option<&WorkloadPlan>,
) -> Option<NumaSet> {
    let wanted = said.mems(node, resident);
    let was_written = before.is_some_and(|plan| plan.mems.is_some());
    (was_written || wanted != node.layout.nodes_with_memory()).then_some(wanted)
}

/// A part of the quota that the workload came with. Without one nothing can be saved up.
fn cpu_burst(said: &Said, name: &WorkloadName, view: &WorkloadView) -> Option<Micros> {
    let percent = said.bursts.get(name.as_str())?.percent?;
    // The kernel has the file at 0 already, and no quota to save from.
    let quota: CpuMax = view.knobs.cpu_max.filter(|max| max.quota.is_some())?;
    burst::burst_of(quota, percent)
}

/// The guard's limits on reclaimed work that came without any of its own: a workload's own limit is
/// not raised, and what is not read yet may be one. Each may have all that reclaimed work may have;
/// that they do not have it together is the business of a limit above them.
fn limits(
    said: &Said,
    view: &WorkloadView,
    before: Option<&WorkloadPlan>,
) -> (Option<MemoryLimit>, Option<MemoryLimit>) {
    let held = before.map_or((None, None), |plan| (plan.memory_high, plan.memory_max));
    if !view.spec.qos.is_reclaimed() {
        return (None, None);
    }
    match &said.guard {
        Guard::Unlimited => (None, None),
        Guard::LeaveAlone(_) => held,
        Guard::Limit(limit) => {
            let is_ours = |held: Option<MemoryLimit>, stands: Option<MemoryLimit>| {
                held.is_some() || stands == Some(MemoryLimit::Max)
            };
            let max = is_ours(held.1, view.knobs.memory_max);
            let high = max && is_ours(held.0, view.knobs.memory_high);
            (
                high.then_some(MemoryLimit::at_most(limit.high)),
                max.then_some(MemoryLimit::at_most(limit.max)),
            )
        }
    }
}

#[cfg(test)]
mod tests;
