//! Invariant 4 on ten thousand random nodes: a Plan is never built from input older than its allowed age.
//! The oracle is the age alone; it shares no code with `plan::stale`.

use advisor::{PlanInput, plan};
use model::placement::ReclaimReserve;
use model::plan::Plan;
use model::policy::Policy;
use model::qos::PoolName;
use model::snapshot::Snapshot;
use model::{Nanos, Timestamp};
use proptest::prelude::*;

use crate::node::{arb_policy, arb_seconds, members, online};

/// Ages of `workloads`, `host`, `probe` in milliseconds (`None`: never read), and how long the Snapshot
/// itself waited to be planned from.
type Ages = ([Option<u64>; 3], u64);

const SOURCES: [&str; 3] = ["workloads", "host", "probe"];

fn arb_ages() -> impl Strategy<Value = Ages> {
    // Around the limit of 3 s and around the 10 s for which an old Plan is kept.
    let age = || proptest::option::weighted(0.9, 0u64..6_000);
    ([age(), age(), age()], prop_oneof![4 => 0u64..1_000, 1 => 0u64..20_000])
}

/// Over the limit by what a reader of the Snapshot can add up.
fn is_stale(ages: &Ages, policy: &Policy) -> bool {
    let limit_ms = policy.max_sample_age.0 / 1_000_000;
    ages.0.iter().flatten().any(|age_ms| age_ms + ages.1 > limit_ms)
}

fn aged(node: &Snapshot, ages: &Ages) -> Snapshot {
    let mut node = node.clone();
    for (source, age_ms) in SOURCES.into_iter().zip(ages.0) {
        let health = node.sources.get_mut(source).expect("the node has all sources");
        health.age = age_ms.map(Nanos::from_millis);
    }
    node
}

fn judge(
    node: &Snapshot,
    policy: &Policy,
    (now, stale): (Timestamp, bool),
    (before, after): (Option<&Plan>, &(Plan, advisor::PlanReport)),
) -> Result<(), TestCaseError> {
    let (plan, report) = after;
    let told = report.findings.iter().any(|finding| finding.rule == "stale-source");
    prop_assert_eq!(told, stale, "a finding tells it, and tells nothing else");
    if !stale {
        prop_assert_eq!(plan.snapshot_at, node.at);
        return Ok(());
    }
    let kept = members(plan, PoolName::RESERVE).len() + members(plan, PoolName::DEDICATED).len();
    let free = online(node).len().saturating_sub(kept);
    let floor = match policy.placement.reclaim_reserve {
        ReclaimReserve::Count(count) => usize::from(count).min(free),
        _ => unreachable!("the policies here count"),
    };
    let reclaim = members(plan, PoolName::RECLAIM).len();
    let Some(before) = before else {
        // Where everything is owned, reclaimed work is lent one CPU if there is any such work.
        prop_assert!(reclaim == floor || (free, reclaim) == (0, 1), "{reclaim}, not {floor}");
        return Ok(());
    };
    prop_assert_eq!(plan.snapshot_at, before.snapshot_at, "it does not pass for newer than it is");
    if now.since(before.snapshot_at) <= policy.keep_stale_plan {
        prop_assert_eq!(plan, before, "kept to the letter");
    } else {
        let held = members(before, PoolName::RECLAIM).len();
        prop_assert!(reclaim <= held.max(floor).max(1), "grew from {held} to {reclaim}");
        let lent = (free, reclaim) == (0, 1);
        prop_assert!(reclaim == floor || lent, "{reclaim} CPUs and not the floor of {floor}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn stale_input_grows_nothing(
        seconds in arb_seconds(),
        policy in arb_policy(),
        ages in proptest::collection::vec(arb_ages(), 6),
    ) {
        let mut previous: Option<Plan> = None;
        for (node, ages) in seconds.iter().zip(&ages) {
            let node = aged(node, ages);
            let now = node.at.after(Nanos::from_millis(ages.1));
            let input =
                PlanInput { now, snapshot: &node, previous: previous.as_ref(), policy: &policy };
            let planned = plan(&input);
            let moment = (now, is_stale(ages, &policy));
            judge(&node, &policy, moment, (previous.as_ref(), &planned))?;
            previous = Some(planned.0);
        }
    }
}
