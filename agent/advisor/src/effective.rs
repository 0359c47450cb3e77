//! Plan + Overlay -> what should stand in the files right now: the minimum of both. Owns the
//! meaning of suppression in knobs; when it begins and ends is `suppress`.

use std::borrow::Cow;
use std::sync::Arc;

use model::knob::CpuMax;
use model::plan::{Overlay, Plan, WorkloadPlan};
use model::qos::WorkloadName;
use model::{Micros, MilliCpu, Timestamp};

/// The Plan with the overlay laid over it, or as it is when the overlay is gone by `now`.
///
/// A suppressed cgroup is idle class, where the policy says so: it gives way at every wake-up and
/// keeps every cycle nobody else wants. A throttling overlay also leaves it a finite quota (its
/// part of the floor, never under the kernel's minimum of 1 ms). Cpusets and weights are untouched:
/// a cpuset moves too slowly, and the kernel refuses a weight while `cpu.idle` is set.
pub fn effective(plan: &Plan, overlay: Option<&Overlay>, now: Timestamp) -> Plan {
    let workloads = workloads(plan, overlay, now);
    let workloads = workloads.map(|(name, workload)| (name.clone(), workload.into_owned()));
    Plan {
        generation: plan.generation,
        built_at: plan.built_at,
        snapshot_at: plan.snapshot_at,
        pools: plan.pools.clone(),
        workloads: workloads.collect(),
        ledger: Arc::clone(&plan.ledger),
        regions: plan.regions.clone(),
        advice: plan.advice.clone(),
    }
}

/// The workloads of `effective`, copied only where the overlay changes them.
pub(crate) fn workloads<'a>(
    plan: &'a Plan,
    overlay: Option<&'a Overlay>,
    now: Timestamp,
) -> impl Iterator<Item = (&'a WorkloadName, Cow<'a, WorkloadPlan>)> {
    let overlay = overlay.filter(|overlay| now < overlay.expires_at);
    // Counted only when it is divided by.
    let n_reclaimed =
        overlay.map_or(1, |_| plan.workloads.values().filter(|w| w.qos.is_reclaimed()).count());
    plan.workloads.iter().map(move |(name, workload)| match overlay {
        Some(overlay) if workload.qos.is_reclaimed() => {
            let share = MilliCpu(overlay.floor.0 / n_reclaimed.max(1) as u64);
            (name, Cow::Owned(under(overlay, share, workload)))
        }
        _ => (name, Cow::Borrowed(workload)),
    })
}

fn under(overlay: &Overlay, share: MilliCpu, workload: &WorkloadPlan) -> WorkloadPlan {
    let mut held = workload.clone();
    if overlay.cpu_idle {
        held.cpu_idle = Some(true);
    }
    if overlay.throttle {
        held.cpu_max = held.cpu_max.map(|ceiling| held_down(ceiling, share));
        // What was saved up would be spent exactly now, and the kernel refuses a quota below it.
        held.cpu_burst = held.cpu_burst.map(|_saved| Micros(0));
    }
    held
}

/// The ceiling's period stays, so that the smaller of the two quotas is the smaller limit.
fn held_down(ceiling: CpuMax, share: MilliCpu) -> CpuMax {
    let floor = Micros((ceiling.period.0 * share.0 / 1000).max(CpuMax::MIN_QUOTA.0));
    CpuMax { quota: Some(ceiling.quota.map_or(floor, |quota| quota.min(floor))), ..ceiling }
}

#[cfg(test)]
mod tests;
