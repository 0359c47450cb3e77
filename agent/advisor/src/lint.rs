//! A second opinion on a Plan, before it is carried out: rules that every Plan must keep, checked
//! from the Plan itself. Shares no code with `plan`, so that a mistake there is not repeated here.
//! A fatal finding keeps the previous Plan.

use std::collections::BTreeSet;

use model::plan::{Finding, Plan, Severity};
use model::policy::{Policy, Reserve};
use model::qos::{PoolName, QosLevel};
use model::snapshot::Snapshot;
use model::{CpuId, CpuSet};

/// Everything wrong with `plan` for the node of `snapshot`; empty when nothing is. `previous` is
/// the Plan in force.
pub fn lint(
    snapshot: &Snapshot,
    policy: &Policy,
    previous: Option<&Plan>,
    plan: &Plan,
) -> Vec<Finding> {
    let facts = Facts {
        online: snapshot.topology.cpus.values().filter(|c| c.online).map(|c| c.id).collect(),
        reserve: members(plan, PoolName::RESERVE),
        share: members(plan, PoolName::SHARE),
        reclaim: members(plan, PoolName::RECLAIM),
        snapshot,
        policy,
        previous,
        plan,
    };
    let mut found = Vec::new();
    check_pools_exist(&facts, &mut found);
    check_online(&facts, &mut found);
    check_exclusive(&facts, &mut found);
    check_reserve(&facts, &mut found);
    check_floor(&facts, &mut found);
    check_growth(&facts, &mut found);
    check_workloads(&facts, &mut found);
    check_generation(&facts, &mut found);
    found
}

/// CPUs as plain sets: slower than `CpuSet`, and independent of it.
struct Facts<'a> {
    online: BTreeSet<CpuId>,
    reserve: BTreeSet<CpuId>,
    share: BTreeSet<CpuId>,
    reclaim: BTreeSet<CpuId>,
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    previous: Option<&'a Plan>,
    plan: &'a Plan,
}

fn members(plan: &Plan, pool: &str) -> BTreeSet<CpuId> {
    plan.pools.get(pool).map(|pool| pool.cpus.iter().collect()).unwrap_or_default()
}

fn fatal(rule: &'static str, subject: &str, message: String) -> Finding {
    Finding { severity: Severity::Fatal, rule, subject: subject.to_owned(), message }
}

fn listed(cpus: impl IntoIterator<Item = CpuId>) -> CpuSet {
    cpus.into_iter().collect()
}

/// Work without a CPU is the one thing a cpuset must never mean.
fn check_pools_exist(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    if facts.online.is_empty() {
        return;
    }
    for (name, cpus) in [(PoolName::SHARE, &facts.share), (PoolName::RECLAIM, &facts.reclaim)] {
        if cpus.is_empty() {
            found.push(fatal("pool-empty", name, format!("pool {name} has no CPU")));
        }
    }
}

fn check_online(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (name, pool) in &facts.plan.pools {
        let absent = listed(pool.cpus.iter().filter(|cpu| !facts.online.contains(cpu)));
        if !absent.is_empty() {
            let message = format!("pool {name} holds CPUs {absent}, which are not online");
            found.push(fatal("pool-offline-cpu", name.as_str(), message));
        }
    }
}

/// The reserve meets nobody. Share and reclaim meet when the policy lends, or where reclaim has
/// nothing beyond its floor.
fn check_exclusive(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (name, cpus) in [(PoolName::SHARE, &facts.share), (PoolName::RECLAIM, &facts.reclaim)] {
        let both = listed(facts.reserve.intersection(cpus).copied());
        if !both.is_empty() {
            let message = format!("CPUs {both} are reserved and in pool {name}");
            found.push(fatal("cpu-two-owners", name, message));
        }
    }
    let both = listed(facts.share.intersection(&facts.reclaim).copied());
    let last_resort = facts.reclaim.len() <= floor(facts);
    if !both.is_empty() && !facts.policy.reclaim.overlap_share && !last_resort {
        let message = format!("CPUs {both} are in the share and in the reclaim pool");
        found.push(fatal("cpu-two-owners", PoolName::RECLAIM, message));
    }
}

fn floor(facts: &Facts<'_>) -> usize {
    let usable = facts.online.difference(&facts.reserve).count();
    usize::from(facts.policy.reclaim.floor_cpus).max(1).min(usable)
}

/// Reserved CPUs stay reserved, unless they are all there is.
fn check_reserve(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let wanted: BTreeSet<CpuId> = match &facts.policy.reserve {
        Reserve::Cpus(cpus) => cpus.iter().filter(|cpu| facts.online.contains(cpu)).collect(),
        Reserve::Count(_) => return,
    };
    let taken: Vec<CpuId> = wanted
        .iter()
        .copied()
        .filter(|cpu| facts.share.contains(cpu) || facts.reclaim.contains(cpu))
        .collect();
    if !taken.is_empty() && wanted.len() < facts.online.len() {
        let message = format!("CPUs {} are reserved by policy and in another pool", listed(taken));
        found.push(fatal("reserve-touched", PoolName::RESERVE, message));
    }
}

fn check_floor(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let floor = floor(facts);
    if facts.reclaim.len() < floor {
        let n = facts.reclaim.len();
        let message = format!("the reclaim pool has {n} CPUs, its floor is {floor}");
        found.push(fatal("reclaim-floor", PoolName::RECLAIM, message));
    }
}

fn check_growth(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(previous) = facts.previous else { return };
    let before = members(previous, PoolName::RECLAIM).len();
    let most = before + usize::from(facts.policy.reclaim.max_growth_per_tick);
    if facts.reclaim.len() > most.max(floor(facts)) {
        let message =
            format!("the reclaim pool grows from {before} to {} CPUs", facts.reclaim.len());
        found.push(fatal("reclaim-growth", PoolName::RECLAIM, message));
    }
}

/// Each workload runs inside the pool of its level.
fn check_workloads(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    // Hundreds of workloads share a handful of sets.
    let mut seen: Vec<(QosLevel, CpuSet, CpuSet)> = Vec::new();
    for (name, workload) in &facts.plan.workloads {
        let populated = facts.snapshot.workloads.get(name).is_some_and(|view| view.populated);
        if workload.cpus.is_empty() && populated {
            let message = format!("{name} has tasks and no CPU");
            found.push(fatal("workload-without-cpu", name.as_str(), message));
        }
        let (qos, cpus) = (workload.qos, workload.cpus);
        let known = seen.iter().find(|(level, set, _)| *level == qos && *set == cpus);
        let outside = match known {
            Some((.., outside)) => *outside,
            None => {
                let outside = outside_pool(facts, qos, &cpus);
                seen.push((qos, cpus, outside));
                outside
            }
        };
        if !outside.is_empty() {
            let message = format!("{name} ({qos}) may run on CPUs {outside}");
            found.push(fatal("workload-outside-pool", name.as_str(), message));
        }
    }
}

fn outside_pool(facts: &Facts<'_>, qos: QosLevel, cpus: &CpuSet) -> CpuSet {
    let pool = match qos {
        QosLevel::SharedCores | QosLevel::DedicatedCores => &facts.share,
        QosLevel::ReclaimedCores => &facts.reclaim,
        QosLevel::SystemCores if facts.reserve.is_empty() => &facts.online,
        QosLevel::SystemCores => &facts.reserve,
    };
    listed(cpus.iter().filter(|cpu| !pool.contains(cpu)))
}

fn check_generation(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(previous) = facts.previous else { return };
    if facts.plan.generation <= previous.generation {
        let message =
            format!("generation {} follows {}", facts.plan.generation.0, previous.generation.0);
        found.push(fatal("generation-not-newer", "plan", message));
    }
}

#[cfg(test)]
mod tests;
