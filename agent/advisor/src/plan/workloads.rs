//! What each workload's cgroup should hold, given the pools. Owns the mapping from placement and QoS
//! level to knobs; suppression is laid over it later (`effective`).

use std::collections::BTreeMap;

use model::Micros;
use model::knob::CpuMax;
use model::ledger::Ledger;
use model::plan::{Ceiling, WorkloadPlan};
use model::qos::{PoolName, QosLevel, WorkloadName};
use model::snapshot::WorkloadView;

use super::advice::Said;
use super::resources::{self, Resources};
use super::{Node, PlanInput, quota};
use crate::admit;
use crate::layout::Layout;
use crate::pool::{self, Placement, Pools};

/// A reclaimed cgroup without a limit of its own holds this many times the whole machine as
/// quota: no limit in effect, but finite, because a flip between `max` and a quota takes the
/// kernel 40-110 ms at p99 and a change of a finite quota under a millisecond. Twice, because
/// the kernel hands quota to CPUs in slices and a group that runs everywhere would otherwise be
/// throttled for the slices that lie unused on other CPUs.
const GENEROUS: u64 = 2;

pub(super) fn plans(
    input: &PlanInput<'_>,
    node: &Node,
    (ledger, pools): (&Ledger, &Pools),
    said: &Said,
) -> (BTreeMap<WorkloadName, WorkloadPlan>, BTreeMap<WorkloadName, Ceiling>) {
    let (mut plans, mut ceilings) = (BTreeMap::new(), BTreeMap::new());
    let parts = quota::parts(input, node, ledger);
    for (name, view) in &input.snapshot.workloads {
        let resident = ledger.pods.get(name.as_str());
        let placed = match resident {
            Some(resident) => {
                pool::placement(&node.layout, &node.tally, pools, resident, input.now)
            }
            None => refused(&node.layout, view.spec.qos, pools),
        };
        let files = resources::of(input, node, said, (name, view, resident));
        let mut plan = workload_plan(input, name, view, (placed, files));
        if let Some(part) = parts.get(name) {
            let max = ceiling(input, name, view);
            ceilings.insert(name.clone(), quota::remembered(view, max));
            plan.cpu_max = Some(quota::as_max(*part, max));
        }
        plans.insert(name.clone(), plan);
    }
    (plans, ceilings)
}

/// Where work runs that was not admitted: in the pool of its level, without a promise.
pub(crate) fn refused(layout: &Layout, qos: QosLevel, pools: &Pools) -> Placement {
    let name = match qos {
        QosLevel::SharedCores | QosLevel::DedicatedCores => Some(PoolName::SHARE),
        QosLevel::ReclaimedCores => Some(PoolName::RECLAIM),
        QosLevel::SystemCores => None,
    };
    let pool = name.and_then(|name| pools.get_key_value(name));
    let everywhere = if qos == QosLevel::SystemCores { layout.online } else { layout.usable };
    Placement {
        cpus: pool.map_or(everywhere, |(_, pool)| pool.cpus),
        mems: layout.nodes_with_memory(),
        pool: pool.map(|(name, _)| name.clone()),
    }
}

fn workload_plan(
    input: &PlanInput<'_>,
    name: &WorkloadName,
    view: &WorkloadView,
    (placed, files): (Placement, Resources),
) -> WorkloadPlan {
    let reclaimed = view.spec.qos.is_reclaimed();
    // A part of a quota is given back where no quota holds it any more.
    let had_part = quota::ceiling_before(input, name, view).is_some();
    let suppressible = reclaimed && (input.policy.suppression.enabled || had_part);
    WorkloadPlan {
        qos: view.spec.qos,
        pool: placed.pool.unwrap_or_else(|| PoolName::from(admit::NO_POOL)),
        cgroup: view.cgroup.clone(),
        containers: view
            .containers
            .as_ref()
            .map(|all| all.iter().map(|container| container.cgroup.clone()).collect()),
        cpus: placed.cpus,
        cpu_weight: reclaimed.then_some(input.policy.reclaim.weight),
        cpu_idle: reclaimed.then_some(false),
        cpu_max: suppressible.then(|| ceiling(input, name, view)),
        cpu_burst: files.cpu_burst,
        mems: files.mems,
        memory_min: files.memory_min,
        memory_low: files.memory_low,
        memory_high: files.memory_high,
        memory_max: files.memory_max,
        oom_score_adj: files.oom_score_adj,
    }
}

/// The quota outside suppression: the workload's own limit where it had one when first seen
/// (carried from Plan to Plan, since what the file holds later is ours), else a generous one.
fn ceiling(input: &PlanInput<'_>, name: &WorkloadName, view: &WorkloadView) -> CpuMax {
    let n_cpus = input.snapshot.topology.cpus.len() as u64;
    let generous = CpuMax {
        quota: Some(Micros(CpuMax::PERIOD.0 * n_cpus * GENEROUS)),
        period: CpuMax::PERIOD,
    };
    if let Some(ceiling) = quota::ceiling_before(input, name, view) {
        return ceiling;
    }
    let earlier = input.previous.and_then(|plan| plan.workloads.get(name));
    let earlier = earlier.filter(|plan| plan.cgroup == view.cgroup).and_then(|plan| plan.cpu_max);
    let own = view.knobs.cpu_max.filter(|max| max.quota.is_some());
    earlier.or(own).unwrap_or(generous)
}
