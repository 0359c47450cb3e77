//! Partition, floor, growth, determinism, stability and monotone suppression of Plans: ten
//! thousand random nodes for soundness here and in `stepping`, two thousand for the rest.

use std::collections::BTreeSet;

use advisor::{PlanInput, lint, plan};
use model::plan::Plan;
use model::policy::Policy;
use model::qos::PoolName;
use model::snapshot::{Signal, Snapshot};
use model::{Histogram, Nanos};
use proptest::prelude::*;

use crate::node::{arb_policy, arb_seconds, arb_snapshot, members, online};

fn next(previous: Option<&Plan>, snapshot: &Snapshot, policy: &Policy) -> Plan {
    plan(&PlanInput { now: snapshot.at, snapshot, previous, policy }).0
}

/// What DESIGN's invariants say of one Plan, over plain sets.
fn judge(snapshot: &Snapshot, policy: &Policy, plan: &Plan) -> Result<(), TestCaseError> {
    let online = online(snapshot);
    let reserve = members(plan, PoolName::RESERVE);
    let share = members(plan, PoolName::SHARE);
    let reclaim = members(plan, PoolName::RECLAIM);
    let usable: BTreeSet<u16> = online.difference(&reserve).copied().collect();
    prop_assert!(reserve.is_subset(&online));
    prop_assert!(!usable.is_empty());
    // share and reclaim cover what is usable and nothing else
    prop_assert_eq!(&share | &reclaim, usable.clone());
    prop_assert!(!share.is_empty() && !reclaim.is_empty());
    let floor = usize::from(policy.reclaim.floor_cpus).max(1).min(usable.len());
    prop_assert!(reclaim.len() >= floor);
    // they meet only if the policy lends, or for the floor
    let meet = share.intersection(&reclaim).count();
    prop_assert!(meet == 0 || policy.reclaim.overlap_share || reclaim.len() == floor);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_plan_of_a_row_is_sound(seconds in arb_seconds(), policy in arb_policy()) {
        let mut previous: Option<Plan> = None;
        for node in &seconds {
            let plan = next(previous.as_ref(), node, &policy);
            judge(node, &policy, &plan)?;
            prop_assert_eq!(lint(node, &policy, previous.as_ref(), &plan), vec![]);
            if let Some(previous) = &previous {
                let before = members(previous, PoolName::RECLAIM).len();
                let after = members(&plan, PoolName::RECLAIM).len();
                let usable = online(node).len() - members(&plan, PoolName::RESERVE).len();
                let floor = usize::from(policy.reclaim.floor_cpus).max(1).min(usable);
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
            prop_assert!(less.len() <= more.len(), "{less:?} after {more:?}");
            previous = Some(plan);
        }
    }
}
