//! The quota of reclaimed work where it may run on all CPUs of a region: what keeps them as busy as
//! the target. Owns the arithmetic; missing input is `None`, and sizes decide then.
//!
//! Worked example: 20 CPUs, half of their time busy, of which reclaimed work uses 4. Target 0.8
//! leaves 20 * (0.8 - 0.5) = 6 CPUs more: a quota of 10. Pods without binding use a region in
//! proportion to its part of the CPUs they may run on.

use std::collections::BTreeMap;

use model::ledger::Place;
use model::provision::{ReclaimKnob, SizeRule};
use model::qos::PoolName;
use model::{CpuSet, MilliCpu, NumaNodeId};

use super::ProvisionInput;
use super::region::name_of;
use crate::pool::{self, Held, Territory};
use crate::tally::Tally;

/// Quotas by the reclaim pool of a region; `None` when the policy wants none, or something they need
/// was not measured.
pub(super) fn quotas(
    input: &ProvisionInput<'_>,
    tally: &Tally,
) -> Option<BTreeMap<PoolName, MilliCpu>> {
    // A rule that always runs stands before: the quota never decides.
    let before = input.provision.rules.iter().take_while(|rule| **rule != SizeRule::DynamicQuota);
    let wanted = input.provision.rules.contains(&SizeRule::DynamicQuota);
    if !wanted || !input.policy.reclaim_enabled || before.count() > 0 {
        return None;
    }
    let tally = Tally { knob: ReclaimKnob::Quota, ..tally.clone() };
    let territories = pool::territories(input.layout, input.policy, &tally);
    if territories.is_empty() {
        return None;
    }
    let roaming = roaming(input, &tally);
    let quota = |one: &Territory| {
        let name = name_of(&PoolName::from(PoolName::RECLAIM), one.node);
        let quota = paced(input, &name, quota(input, one, &roaming)?);
        Some((name, quota))
    };
    territories.iter().map(quota).collect()
}

/// What changes by less than a tenth of a CPU or a twentieth is not worth a write to every group.
const LEAST_CHANGE: MilliCpu = MilliCpu(100);
const LEAST_CHANGE_DIVISOR: u64 = 20;

/// Growth is bounded, as that of the reclaim pool is; taking away is not.
fn paced(input: &ProvisionInput<'_>, name: &PoolName, wanted: MilliCpu) -> MilliCpu {
    let before = input.state.quota.get(name).copied();
    let Some((growth, before)) = input.max_quota_growth.zip(before) else { return wanted };
    let small = LEAST_CHANGE.0.max(before.0 / LEAST_CHANGE_DIVISOR);
    match wanted.0.abs_diff(before.0) < small {
        true => before,
        false => wanted.min(MilliCpu(before.0.saturating_add(growth.0))),
    }
}

/// Where reclaimed pods without binding run.
fn roaming(input: &ProvisionInput<'_>, tally: &Tally) -> CpuSet {
    let pools = pool::pools(input.layout, input.policy, tally, &Held::default());
    let reclaim = pools.get(PoolName::RECLAIM).map(|pool| pool.cpus).unwrap_or_default();
    let elsewhere = reclaim.difference(&input.layout.usable_of(tally.reclaim_bound));
    if elsewhere.is_empty() { reclaim } else { elsewhere }
}

fn quota(input: &ProvisionInput<'_>, territory: &Territory, roaming: &CpuSet) -> Option<MilliCpu> {
    let cpus = territory.reclaimable;
    let busy = cpus.iter().map(|cpu| input.measured.cpu_busy_ratio.get(&cpu).copied());
    let busy: f64 = busy.sum::<Option<f64>>()?;
    let n_cpus = cpus.len() as f64;
    let used = reclaimed(input, territory, roaming)?;
    // Two clocks: the kernel counts what a group uses to the nanosecond and how busy a CPU is by ticks, of
    // which a host that takes the CPU away loses some. They were busy at least with what is counted.
    let busy = busy.max(used / 1000.0);
    let room = n_cpus * input.provision.quota_target_ratio - busy;
    let milli = (room * 1000.0 + used).floor().clamp(0.0, n_cpus * 1000.0) as u64;
    Some(MilliCpu(milli.max(territory.n_kept as u64 * 1000)))
}

/// What reclaimed work uses here, in thousandths: pods that are bound here, and of the others the
/// part of their CPUs that is here.
fn reclaimed(input: &ProvisionInput<'_>, here: &Territory, roaming: &CpuSet) -> Option<f64> {
    let n_here = here.reclaimable.intersection(roaming).len();
    let part = n_here as f64 / roaming.len().max(1) as f64;
    let mut used = 0.0;
    let batch = input.ledger.pods.values().filter(|one| one.ask.level.is_reclaimed());
    for pod in batch {
        let cpu = input.measured.pods.get(&pod.ask.uid).and_then(|one| one.cpu)?.0 as f64;
        used += match (pod.place, here.node) {
            (Place::Node(node), Some(id)) => if_same(cpu, node, id),
            (Place::Node(_), None) => 0.0,
            _ => cpu * part,
        };
    }
    Some(used)
}

fn if_same(cpu: f64, node: NumaNodeId, here: NumaNodeId) -> f64 {
    if node == here { cpu } else { 0.0 }
}
