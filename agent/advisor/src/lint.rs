//! A second opinion on a Plan, before it is carried out: rules that every Plan must keep, checked
//! from the Plan itself. Shares no code with `plan`, so that a mistake there is not repeated here.
//! A fatal finding keeps the previous Plan.

mod knobs;
mod lent;

use std::collections::{BTreeMap, BTreeSet};

use model::placement::ReclaimReserve;
use model::plan::{Finding, Plan, Severity, WorkloadPlan};
use model::policy::{Policy, Reserve};
use model::qos::PoolName;
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
    let facts = Facts::new(snapshot, policy, previous, plan);
    let mut found = Vec::new();
    check_pools_exist(&facts, &mut found);
    check_online(&facts, &mut found);
    check_withheld(&facts, &mut found);
    check_owned(&facts, &mut found);
    check_lent(&facts, &mut found);
    lent::check_owners(&facts, &mut found);
    lent::check_quota(&facts, &mut found);
    check_reserve(&facts, &mut found);
    check_floor(&facts, &mut found);
    check_growth(&facts, &mut found);
    check_workloads(&facts, &mut found);
    check_generation(&facts, &mut found);
    knobs::check(snapshot, plan, &mut found);
    found
}

/// CPUs as plain sets: slower than `CpuSet`, and independent of it.
struct Facts<'a> {
    online: BTreeSet<CpuId>,
    /// Reserve and interrupt: nobody's.
    withheld: BTreeSet<CpuId>,
    /// Of dedicated workloads.
    owned: BTreeSet<CpuId>,
    /// Online and neither withheld nor owned.
    free: BTreeSet<CpuId>,
    /// Pools of shared work, by name.
    share: BTreeMap<&'a str, BTreeSet<CpuId>>,
    reclaim: BTreeSet<CpuId>,
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    previous: Option<&'a Plan>,
    plan: &'a Plan,
}

/// Pools that are no pool of shared work.
const OTHERS: [&str; 4] =
    [PoolName::RESERVE, PoolName::INTERRUPT, PoolName::DEDICATED, PoolName::RECLAIM];

impl<'a> Facts<'a> {
    fn new(
        snapshot: &'a Snapshot,
        policy: &'a Policy,
        previous: Option<&'a Plan>,
        plan: &'a Plan,
    ) -> Facts<'a> {
        let topology = &snapshot.topology;
        let online: BTreeSet<CpuId> =
            topology.cpus.values().filter(|cpu| cpu.online).map(|cpu| cpu.id).collect();
        let withheld = &members(plan, PoolName::RESERVE) | &members(plan, PoolName::INTERRUPT);
        let owned = members(plan, PoolName::DEDICATED);
        let free = &(&online - &withheld) - &owned;
        let share = plan.pools.iter().filter(|(name, _)| !OTHERS.contains(&name.as_str()));
        let share = share.map(|(name, pool)| (name.as_str(), pool.cpus.iter().collect()));
        let share = share.collect();
        let reclaim = members(plan, PoolName::RECLAIM);
        Facts { online, withheld, owned, free, share, reclaim, snapshot, policy, previous, plan }
    }

    /// Shared and reclaimed pools with their names.
    fn common(&self) -> impl Iterator<Item = (&str, &BTreeSet<CpuId>)> {
        let share = self.share.iter().map(|(name, cpus)| (*name, cpus));
        share.chain([(PoolName::RECLAIM, &self.reclaim)])
    }

    fn has_reclaimed(&self) -> bool {
        self.plan.workloads.values().any(|workload| workload.qos.is_reclaimed())
    }
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
    let missing = facts.has_reclaimed() && facts.reclaim.is_empty();
    let empty = facts.plan.pools.iter().filter(|(_, pool)| pool.cpus.is_empty());
    let empty = empty.map(|(name, _)| name.as_str());
    let empty = empty.filter(|name| OTHERS[..3].iter().all(|other| other != name));
    let names: BTreeSet<&str> = empty.chain(missing.then_some(PoolName::RECLAIM)).collect();
    if facts.online.is_empty() {
        return;
    }
    for name in names {
        found.push(fatal("pool-empty", name, format!("pool {name} has no CPU")));
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

/// The reserve meets nobody, unless nothing else is left for reclaimed work.
fn check_withheld(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (name, cpus) in facts.common() {
        let both = listed(facts.withheld.intersection(cpus).copied());
        let last_resort = name == PoolName::RECLAIM && facts.free.is_empty();
        if !both.is_empty() && !last_resort {
            let message = format!("CPUs {both} are reserved and in pool {name}");
            found.push(fatal("cpu-two-owners", name, message));
        }
    }
}

/// Owned CPUs are one owner's, as long as others have any.
fn check_owned(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (name, cpus) in facts.common() {
        let both = listed(facts.owned.intersection(cpus).copied());
        let lends = name == PoolName::RECLAIM && lent::owners_lend(facts.policy);
        if !both.is_empty() && !facts.free.is_empty() && !lends {
            let message = format!("CPUs {both} are dedicated and in pool {name}");
            found.push(fatal("cpu-two-owners", name, message));
        }
    }
    let mut owners: BTreeMap<CpuId, &str> = BTreeMap::new();
    let dedicated = |workload: &&WorkloadPlan| workload.pool.as_str() == PoolName::DEDICATED;
    for (name, workload) in &facts.plan.workloads {
        for cpu in Some(workload).filter(dedicated).iter().flat_map(|own| own.cpus.iter()) {
            if let Some(other) = owners.insert(cpu, name.as_str()) {
                let message = format!("CPU {cpu} is owned by {other} and by {name}");
                found.push(fatal("cpu-two-owners", name.as_str(), message));
            }
        }
    }
}

/// Shared and reclaimed work meet when the policy lends, or where reclaim has nothing beyond its
/// floor.
fn check_lent(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let last_resort = facts.reclaim.len() <= floor(facts);
    let overlap = facts.policy.placement.overlap_shared_reclaim || lent::is_held(facts);
    if overlap || last_resort {
        return;
    }
    for (name, cpus) in &facts.share {
        let both = listed(cpus.intersection(&facts.reclaim).copied());
        if !both.is_empty() {
            let message = format!("CPUs {both} are in pool {name} and in the reclaim pool");
            found.push(fatal("cpu-two-owners", PoolName::RECLAIM, message));
        }
    }
}

/// What the policy keeps for reclaimed work, as far as it is not owned; one CPU where it has work.
fn floor(facts: &Facts<'_>) -> usize {
    let nodes: BTreeSet<_> = facts
        .online
        .iter()
        .filter_map(|cpu| facts.snapshot.topology.cpus.get(cpu))
        .map(|cpu| cpu.node)
        .collect();
    let kept = match &facts.policy.placement.reclaim_reserve {
        ReclaimReserve::PerNode => nodes.len().max(4),
        ReclaimReserve::Count(count) => usize::from(*count),
        ReclaimReserve::Cpus(cpus) => cpus.iter().filter(|cpu| facts.free.contains(cpu)).count(),
    };
    kept.max(usize::from(facts.has_reclaimed())).min(facts.free.len())
}

/// Reserved CPUs stay reserved, unless they are all there is.
fn check_reserve(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let placement = &facts.policy.placement;
    let mut wanted: BTreeSet<CpuId> = placement.kept.iter().collect();
    if let Reserve::Cpus(cpus) = &placement.reserve {
        wanted.extend(cpus.iter());
    }
    wanted.retain(|cpu| facts.online.contains(cpu));
    let taken: Vec<CpuId> = wanted
        .iter()
        .copied()
        .filter(|cpu| facts.common().any(|(_, pool)| pool.contains(cpu)))
        .collect();
    let other = facts.online.difference(&wanted).next();
    if !taken.is_empty() && other.is_some() && !facts.free.is_empty() {
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
    let before = members(previous, PoolName::RECLAIM);
    let before = before.intersection(&facts.online).count();
    let most = before + usize::from(facts.policy.reclaim.max_growth_per_tick);
    if facts.reclaim.len() > most.max(floor(facts)).max(1) {
        let message =
            format!("the reclaim pool grows from {before} to {} CPUs", facts.reclaim.len());
        found.push(fatal("reclaim-growth", PoolName::RECLAIM, message));
    }
}

/// Each workload runs inside its pool, and in one that its level may have.
fn check_workloads(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    // Hundreds of workloads share a handful of sets.
    let mut seen: Vec<(&str, CpuSet, CpuSet)> = Vec::new();
    for (name, workload) in &facts.plan.workloads {
        let populated = facts.snapshot.workloads.get(name).is_some_and(|view| view.populated);
        if workload.cpus.is_empty() && populated {
            let message = format!("{name} has tasks and no CPU");
            found.push(fatal("workload-without-cpu", name.as_str(), message));
        }
        let (pool, qos, cpus) = (workload.pool.as_str(), workload.qos, workload.cpus);
        if qos.is_reclaimed() != (pool == PoolName::RECLAIM) {
            let message = format!("{name} ({qos}) is in pool {pool:?}");
            found.push(fatal("workload-in-wrong-pool", name.as_str(), message));
        }
        let known = seen.iter().find(|(of, set, _)| *of == pool && *set == cpus);
        let outside = match known {
            Some((.., outside)) => *outside,
            None => {
                let outside = outside_pool(facts, pool, &cpus);
                seen.push((pool, cpus, outside));
                outside
            }
        };
        if !outside.is_empty() {
            let message = format!("{name} ({qos}) may run on CPUs {outside}");
            found.push(fatal("workload-outside-pool", name.as_str(), message));
        }
    }
}

/// A workload in a pool that is not there (a new one in none yet, system work) may be anywhere.
fn outside_pool(facts: &Facts<'_>, pool: &str, cpus: &CpuSet) -> CpuSet {
    let inside = match facts.plan.pools.contains_key(pool) {
        true => members(facts.plan, pool),
        false => facts.online.clone(),
    };
    listed(cpus.iter().filter(|cpu| !inside.contains(cpu)))
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
