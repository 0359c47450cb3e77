//! Where reclaimed work may be on CPUs of others: owners of whole NUMA nodes that lend some of theirs,
//! and share pools as long as a quota holds all reclaimed work.

use std::collections::BTreeSet;

use model::CpuId;
use model::plan::{Finding, WorkloadPlan};
use model::policy::Policy;
use model::provision::{ReclaimKnob, SizeRule};
use model::qos::{PoolName, WorkloadName};

use super::{Facts, fatal, listed};

/// Whether the policy lets owners lend: only sizes that follow what they use can tell how much.
pub(super) fn owners_lend(policy: &Policy) -> bool {
    let sized = [SizeRule::Canonical, SizeRule::Pid, SizeRule::DynamicQuota];
    let rule = policy.provision.rules.first();
    policy.provision.lend_exclusive && rule.is_some_and(|rule| sized.contains(rule))
}

/// An owner of whole nodes lends, others do not, and nobody lends all.
pub(super) fn check_owners(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    // With no other CPU there reclaimed work has one of an owner as last resort.
    if !owners_lend(facts.policy) || facts.free.is_empty() {
        return;
    }
    let owners = facts.plan.workloads.iter();
    let owners = owners.filter(|(_, workload)| workload.pool.as_str() == PoolName::DEDICATED);
    for (name, workload) in owners {
        let own: BTreeSet<CpuId> = workload.cpus.iter().collect();
        let lent = own.intersection(&facts.reclaim).count();
        let view = facts.snapshot.workloads.get(name);
        let is_whole = view.is_some_and(|view| view.spec.wish.numa_exclusive);
        if lent > 0 && !is_whole {
            let cpus = listed(own.intersection(&facts.reclaim).copied());
            let message = format!("CPUs {cpus} are {name}'s, which owns no whole node, and lent");
            found.push(fatal("cpu-two-owners", name.as_str(), message));
        } else if lent > 0 && lent == own.len() {
            let message = format!("{name} lends all of its CPUs {}", workload.cpus);
            found.push(fatal("owner-lends-all", name.as_str(), message));
        }
    }
}

/// Whether a quota is what keeps reclaimed work off shared work's time.
pub(super) fn is_held(facts: &Facts<'_>) -> bool {
    let wanted = facts.policy.provision.rules.contains(&SizeRule::DynamicQuota);
    wanted && facts.plan.advice.provision.knob == ReclaimKnob::Quota
}

/// Each group has a part, and all together have no more than the quota; the kernel's least of 10 mCPU
/// for each is not refused.
pub(super) fn check_quota(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    if !is_held(facts) {
        return;
    }
    let batch = || facts.plan.workloads.iter().filter(|(_, workload)| workload.qos.is_reclaimed());
    for (name, _) in batch().filter(|(_, workload)| milli(workload).is_none()) {
        let message = format!("a quota holds reclaimed work, and {name} has none");
        found.push(fatal("quota-missing", name.as_str(), message));
    }
    let parts = |(_, workload): (&WorkloadName, &WorkloadPlan)| milli(workload).unwrap_or(0);
    let sum: u64 = batch().map(parts).sum();
    let quota: u64 = facts.plan.advice.provision.quota.values().map(|quota| quota.0).sum();
    let least = 10 * batch().count() as u64;
    if sum > quota.saturating_add(least) {
        let message = format!("parts of {sum} mCPU make up a quota of {quota} mCPU");
        found.push(fatal("quota-exceeded", PoolName::RECLAIM, message));
    }
}

fn milli(workload: &WorkloadPlan) -> Option<u64> {
    let max = workload.cpu_max?;
    max.quota.map(|quota| quota.0.saturating_mul(1000) / max.period.0.max(1))
}
