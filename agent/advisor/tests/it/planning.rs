//! Partition, floor, growth, determinism, stability and monotone suppression of Plans: ten
//! thousand random nodes for soundness here and in `stepping`, two thousand for the rest.

use std::collections::BTreeSet;

use advisor::{PlanInput, lint, plan};
use model::placement::ReclaimReserve;
use model::plan::{Plan, WorkloadPlan};
use model::policy::Policy;
use model::provision::{ReclaimKnob, SizeRule};
use model::qos::PoolName;
use model::snapshot::{Signal, Snapshot};
use model::{Histogram, Nanos};
use proptest::prelude::*;

use crate::node::{arb_policy, arb_seconds, arb_snapshot, ids, members, online};

fn next(previous: Option<&Plan>, snapshot: &Snapshot, policy: &Policy) -> Plan {
    plan(&PlanInput { now: snapshot.at, snapshot, previous, policy }).0
}

/// CPUs that are neither kept for the system nor owned.
fn free(snapshot: &Snapshot, plan: &Plan) -> BTreeSet<u16> {
    let usable = &online(snapshot) - &members(plan, PoolName::RESERVE);
    &usable - &members(plan, PoolName::DEDICATED)
}

/// CPUs of shared work, of all pools it has.
fn shared(plan: &Plan) -> BTreeSet<u16> {
    let others = [PoolName::RESERVE, PoolName::INTERRUPT, PoolName::DEDICATED, PoolName::RECLAIM];
    let names = plan.pools.keys().map(PoolName::as_str);
    let names = names.filter(|name| !others.contains(name));
    names.flat_map(|name| members(plan, name)).collect()
}

fn floor(policy: &Policy, free: usize) -> usize {
    match policy.placement.reclaim_reserve {
        ReclaimReserve::Count(count) => usize::from(count).min(free),
        _ => unreachable!("the policies here count"),
    }
}

/// What DESIGN's invariants say of one Plan, over plain sets.
fn judge(snapshot: &Snapshot, policy: &Policy, plan: &Plan) -> Result<(), TestCaseError> {
    let online = online(snapshot);
    let reserve = members(plan, PoolName::RESERVE);
    let (share, reclaim) = (shared(plan), members(plan, PoolName::RECLAIM));
    let free = free(snapshot, plan);
    prop_assert!(reserve.is_subset(&online) && reserve.len() < online.len());
    // an offline CPU of a dedicated workload makes room for nobody, but is in no pool
    prop_assert!(members(plan, PoolName::DEDICATED).is_subset(&online));
    if free.is_empty() {
        return Ok(());
    }
    prop_assert!(share.is_subset(&free) && reclaim.is_subset(&free));
    let is_bound = snapshot.workloads.values().any(|w| w.spec.wish.numa_binding);
    // share and reclaim cover what is free, but for CPUs that a bound pod left a moment ago, and
    // those that batch work may not take at once from a pool that a rule made smaller
    let by_rule = policy.provision.rules != [SizeRule::Runq];
    prop_assert!(
        is_bound || by_rule || &share | &reclaim == free,
        "{share:?} {reclaim:?} {free:?}"
    );
    let floor = floor(policy, free.len());
    prop_assert!(reclaim.len() >= floor, "{} CPUs under the floor of {floor}", reclaim.len());
    // they meet only if the policy lends, or for the floor
    let meet = share.intersection(&reclaim).count();
    let held = plan.advice.provision.knob == ReclaimKnob::Quota;
    let lends = policy.placement.overlap_shared_reclaim || held;
    prop_assert!(meet == 0 || lends || reclaim.len() == floor.max(1));
    owners(plan)
}

/// CPUs of dedicated workloads are theirs alone.
fn owners(plan: &Plan) -> Result<(), TestCaseError> {
    let mut owned = BTreeSet::new();
    let dedicated = |w: &&WorkloadPlan| w.pool.as_str() == PoolName::DEDICATED;
    for workload in plan.workloads.values().filter(dedicated) {
        for cpu in ids(workload.cpus) {
            prop_assert!(owned.insert(cpu), "CPU {cpu} has two owners");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_plan_of_a_row_is_sound(
        seconds in arb_seconds(),
        policy in arb_policy(),
        rule in prop::sample::select(&SizeRule::ALL[..]),
        isolates in any::<bool>(),
    ) {
        let mut policy = policy;
        policy.provision.rules = vec![rule];
        policy.provision.isolation.enabled = isolates;
        (policy.provision.isolation.rounds, policy.provision.isolation.max_cpu_ratio) = (2, 0.6);
        let mut previous: Option<Plan> = None;
        for node in &seconds {
            let plan = next(previous.as_ref(), node, &policy);
            judge(node, &policy, &plan)?;
            let found = lint(node, &policy, previous.as_ref(), &plan);
            prop_assert!(found.is_empty(), "{found:?}\n{:?}\n{:?}", plan.pools, previous.map(|p| p.pools));
            if let Some(previous) = &previous {
                let before = members(previous, PoolName::RECLAIM).len();
                let after = members(&plan, PoolName::RECLAIM).len();
                let floor = floor(&policy, free(node, &plan).len()).max(1);
                let growth = match node.signal {
                    Signal::Degraded { .. } => 0,
                    _ => usize::from(policy.reclaim.max_growth_per_tick),
                };
                prop_assert!(after <= (before + growth).max(floor), "{before} -> {after}");
                prop_assert!(plan.generation > previous.generation);
            }
            previous = Some(plan);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_same_input_gives_the_same_plan_and_a_calm_node_stands_still(
        node in arb_snapshot(),
        policy in arb_policy(),
    ) {
        prop_assert_eq!(next(None, &node, &policy), next(None, &node, &policy));
        // Nobody waits: after the first Plan follows requests, later ones may only follow usage,
        // and once they did, nothing moves.
        let mut node = node;
        for workload in node.workloads.values_mut() {
            workload.runq = None;
        }
        let mut previous = next(None, &node, &policy);
        for _ in 0..80 {
            node.at = node.at.after(Nanos::from_secs(1));
            previous = next(Some(&previous), &node, &policy);
        }
        node.at = node.at.after(Nanos::from_secs(1));
        let last = next(Some(&previous), &node, &policy);
        prop_assert_eq!(&last.pools, &previous.pools);
        prop_assert_eq!(&last.workloads, &previous.workloads);
    }

    /// I9: a higher run-queue latency never gives batch work more CPUs in that tick.
    #[test]
    fn waiting_longer_never_widens_reclaim(
        seconds in arb_seconds(),
        policy in arb_policy(),
        longer in 1u32..8,
    ) {
        let mut previous: Option<Plan> = None;
        for node in &seconds {
            let plan = next(previous.as_ref(), node, &policy);
            let mut slower = node.clone();
            for runq in slower.workloads.values_mut().filter_map(|w| w.runq.as_mut()) {
                let wait = Nanos(runq.p99.map_or(0, |p99| p99.0) << longer);
                runq.waits = Histogram::default();
                runq.waits.buckets[Histogram::bucket_of(wait)] = 100;
                runq.p99 = runq.waits.quantile(990);
            }
            let held = next(previous.as_ref(), &slower, &policy);
            let (more, less) = (members(&plan, PoolName::RECLAIM), members(&held, PoolName::RECLAIM));
            prop_assert!(
                less.len() <= more.len(),
                "{less:?} after {more:?}\n{:?}\n{:?}\n{:?}",
                previous.map(|plan| (plan.pools, plan.regions)),
                (&plan.pools, &plan.regions),
                (&held.pools, &held.regions)
            );
            previous = Some(plan);
        }
    }
}
