//! What each workload's cgroup should hold, given the pools. Owns the mapping from QoS level to
//! pool and knobs; suppression is laid over it later (`effective`).

use std::collections::BTreeMap;

use model::knob::CpuMax;
use model::plan::{Finding, PoolPlan, Severity, WorkloadPlan};
use model::qos::{PoolName, QosLevel, WorkloadName};
use model::snapshot::WorkloadView;
use model::{CpuSet, Micros};

use super::{PlanInput, PlanReport, Room};

/// A reclaimed cgroup without a limit of its own holds this many times the whole machine as
/// quota: no limit in effect, but finite, because a flip between `max` and a quota takes the
/// kernel 40-110 ms at p99 and a change of a finite quota under a millisecond. Twice, because
/// the kernel hands quota to CPUs in slices and a group that runs everywhere would otherwise be
/// throttled for the slices that lie unused on other CPUs.
const GENEROUS: u64 = 2;

pub(super) fn plans(
    input: &PlanInput<'_>,
    room: &Room,
    pools: &BTreeMap<PoolName, PoolPlan>,
    report: &mut PlanReport,
) -> BTreeMap<WorkloadName, WorkloadPlan> {
    let mut plans = BTreeMap::new();
    for (name, view) in &input.snapshot.workloads {
        if view.spec.qos == QosLevel::DedicatedCores {
            report.findings.push(dedicated_as_shared(name));
        }
        let (pool, cpus) = place(view.spec.qos, room, pools);
        plans.insert(name.clone(), workload_plan(input, name, view, pool, cpus));
    }
    plans
}

fn place(qos: QosLevel, room: &Room, pools: &BTreeMap<PoolName, PoolPlan>) -> (PoolName, CpuSet) {
    let name = match qos {
        QosLevel::SharedCores | QosLevel::DedicatedCores => PoolName::SHARE,
        QosLevel::ReclaimedCores => PoolName::RECLAIM,
        QosLevel::SystemCores => PoolName::RESERVE,
    };
    let cpus = pools.get(name).map_or(CpuSet::EMPTY, |pool| pool.cpus);
    // Only the reserve can be empty: system work may then run anywhere.
    (PoolName::from(name), if cpus.is_empty() { room.online } else { cpus })
}

fn workload_plan(
    input: &PlanInput<'_>,
    name: &WorkloadName,
    view: &WorkloadView,
    pool: PoolName,
    cpus: CpuSet,
) -> WorkloadPlan {
    let reclaimed = view.spec.qos.is_reclaimed();
    let suppressible = reclaimed && input.policy.suppression.enabled;
    WorkloadPlan {
        qos: view.spec.qos,
        pool,
        cgroup: view.cgroup.clone(),
        cpus,
        cpu_weight: reclaimed.then_some(input.policy.reclaim.weight),
        cpu_idle: reclaimed.then_some(false),
        cpu_max: suppressible.then(|| ceiling(input, name, view)),
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
    let earlier = input.previous.and_then(|plan| plan.workloads.get(name));
    let earlier = earlier.filter(|plan| plan.cgroup == view.cgroup).and_then(|plan| plan.cpu_max);
    let own = view.knobs.cpu_max.filter(|max| max.quota.is_some());
    earlier.or(own).unwrap_or(generous)
}

fn dedicated_as_shared(name: &WorkloadName) -> Finding {
    Finding {
        severity: Severity::Note,
        rule: "dedicated-as-shared",
        subject: name.to_string(),
        message: format!(
            "{name} asks for dedicated cores, which are not exclusive yet: it runs in the share pool"
        ),
    }
}
