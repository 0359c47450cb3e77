//! A good Plan is broken in one place at a time; the linter must name exactly that.

use model::knob::{CpuMax, MemoryLimit, OomScoreAdj};
use model::plan::{Generation, Plan, WorkloadPlan};
use model::policy::{Policy, Reserve};
use model::qos::{PoolName, QosLevel};
use model::snapshot::Snapshot;
use model::{Bytes, Micros, NumaSet, Timestamp};

use super::lint;
use crate::plan::{PlanInput, plan};
use crate::testkit::*;

fn node() -> Snapshot {
    snapshot(1, machine(1, 4, 1), vec![("web", shared(1, 1000, None)), ("ml", batch(2))])
}

fn policy() -> Policy {
    let mut policy = splitting();
    policy.placement.reserve = Reserve::Cpus(cpus("0"));
    policy
}

#[track_caller]
fn check(spoil: impl FnOnce(&mut Plan, &mut Plan), expect: &[&str]) {
    let node = node();
    let policy = policy();
    let input = PlanInput { now: Timestamp(0), snapshot: &node, previous: None, policy: &policy };
    let (mut previous, _) = plan(&input);
    let (mut next, _) = plan(&PlanInput { previous: Some(&previous), ..input });
    spoil(&mut previous, &mut next);
    let found = lint(&node, &policy, Some(&previous), &next);
    assert_eq!(found.iter().map(|f| f.rule).collect::<Vec<_>>(), expect);
}

fn set(plan: &mut Plan, pool: &str, list: &str) {
    plan.pools.get_mut(pool).expect("the pool exists").cpus = cpus(list);
}

#[test]
fn each_broken_rule_is_named() {
    // reserve 0, share 1, reclaim 2-3
    check(|_, _| (), &[]);
    check(|_, next| set(next, PoolName::RECLAIM, "1-3"), &["cpu-two-owners"]);
    check(|_, next| set(next, PoolName::RESERVE, "0,2"), &["cpu-two-owners"]);
    check(|_, next| set(next, PoolName::RECLAIM, "2-4"), &["pool-offline-cpu"]);
    check(
        |_, next| set(next, PoolName::RECLAIM, ""),
        &["pool-empty", "reclaim-floor", "workload-outside-pool"],
    );
    check(
        |_, next| {
            set(next, PoolName::RESERVE, "");
            set(next, PoolName::SHARE, "0-1");
        },
        &["reserve-touched"],
    );
    check(
        |_, next| next.workloads.get_mut("web").expect("web").cpus = cpus("1-2"),
        &["workload-outside-pool"],
    );
    check(
        |_, next| next.workloads.get_mut("web").expect("web").cpus = cpus(""),
        &["workload-without-cpu"],
    );
    check(|previous, _| previous.generation = Generation(9), &["generation-not-newer"]);
}

/// Two dedicated workloads of one CPU each beside one that is shared.
#[test]
fn a_dedicated_cpu_has_one_owner() {
    let own = |slot| workload(QosLevel::DedicatedCores, slot, 1000, None);
    let all = vec![("a", own(3)), ("b", own(4)), ("web", shared(1, 1000, None))];
    let node = snapshot(1, machine(1, 4, 1), all);
    let policy = splitting();
    let input = PlanInput { now: Timestamp(0), snapshot: &node, previous: None, policy: &policy };
    let (good, _) = plan(&input);
    let rules = |plan: &Plan| -> Vec<&str> {
        lint(&node, &policy, None, plan).iter().map(|found| found.rule).collect()
    };
    assert_eq!(rules(&good), Vec::<&str>::new());
    // a 0, b 1, share 2, reclaim 3
    let mut both = good.clone();
    both.workloads.get_mut("b").expect("b").cpus = cpus("0");
    assert_eq!(rules(&both), ["cpu-two-owners"]);
    let mut shared = good.clone();
    set(&mut shared, PoolName::SHARE, "1-2");
    assert_eq!(rules(&shared), ["cpu-two-owners"]);
    let mut reclaimed = good;
    set(&mut reclaimed, PoolName::RECLAIM, "1,3");
    assert_eq!(rules(&reclaimed), ["cpu-two-owners"]);
    let mut elsewhere = reclaimed;
    set(&mut elsewhere, PoolName::RECLAIM, "3");
    elsewhere.workloads.get_mut("web").expect("web").pool = PoolName::from(PoolName::RECLAIM);
    assert_eq!(rules(&elsewhere), ["workload-in-wrong-pool", "workload-outside-pool"]);
}

#[test]
fn growth_is_counted_from_the_previous_plan() {
    let mut narrow = policy();
    narrow.reclaim.max_growth_per_tick = 0;
    let node = node();
    let input = PlanInput { now: Timestamp(0), snapshot: &node, previous: None, policy: &narrow };
    let (mut previous, _) = plan(&input);
    let (next, _) = plan(&PlanInput { previous: Some(&previous), ..input });
    set(&mut previous, PoolName::RECLAIM, "3");
    let found = lint(&node, &narrow, Some(&previous), &next);
    assert_eq!(found.iter().map(|f| f.rule).collect::<Vec<_>>(), ["reclaim-growth"]);
}

#[track_caller]
fn check_ml(spoil: impl FnOnce(&mut WorkloadPlan), expect: &[&str]) {
    check(|_, next| spoil(next.workloads.get_mut("ml").expect("ml")), expect);
}

fn mebibytes(n: u64) -> Option<MemoryLimit> {
    Some(MemoryLimit::at_most(Bytes(n << 20)))
}

#[test]
fn values_that_contradict_each_other_are_named() {
    // the ceiling is twice four CPUs: 800 ms of every 100
    check_ml(|ml| ml.cpu_burst = Some(Micros(800_000)), &[]);
    check_ml(|ml| ml.cpu_burst = Some(Micros(800_001)), &["burst-over-quota"]);
    let unlimited = |burst| {
        move |ml: &mut WorkloadPlan| {
            ml.cpu_max = Some(CpuMax::UNLIMITED);
            ml.cpu_burst = Some(Micros(burst));
        }
    };
    check_ml(unlimited(0), &[]);
    check_ml(unlimited(1), &["burst-over-quota"]);
    check_ml(|ml| ml.mems = NumaSet::parse("0"), &[]);
    check_ml(|ml| ml.mems = NumaSet::parse(""), &["mems-empty"]);
    check_ml(|ml| ml.mems = NumaSet::parse("0-1"), &["mems-without-memory"]);
    let memory = |[min, low, high, max]: [u64; 4]| {
        move |ml: &mut WorkloadPlan| {
            (ml.memory_min, ml.memory_low) = (mebibytes(min), mebibytes(low));
            (ml.memory_high, ml.memory_max) = (mebibytes(high), mebibytes(max));
        }
    };
    check_ml(memory([1, 1, 2, 2]), &[]);
    check_ml(memory([2, 1, 2, 2]), &["memory-min-over-low"]);
    check_ml(memory([1, 1, 3, 2]), &["memory-high-over-max"]);
    // one of the two alone is nobody's contradiction
    check_ml(|ml| ml.memory_min = mebibytes(9), &[]);
    check_ml(
        |ml| {
            ml.memory_high = Some(MemoryLimit::Max);
            ml.memory_max = mebibytes(9);
        },
        &["memory-high-over-max"],
    );
    check_ml(|ml| ml.oom_score_adj = OomScoreAdj::new(-1000), &[]);
    check_ml(|ml| ml.oom_score_adj = "0..5".parse().ok(), &["oom-score-range"]);
}

#[test]
fn a_node_that_has_no_memory_is_told_from_one_that_does_not_say() {
    for (memory, expect) in [(Some(Bytes(0)), vec!["mems-without-memory"]), (None, vec![])] {
        let mut node = node();
        let topology = std::sync::Arc::make_mut(&mut node.topology);
        topology.nodes.values_mut().for_each(|node| node.memory = memory);
        let policy = policy();
        let input =
            PlanInput { now: Timestamp(0), snapshot: &node, previous: None, policy: &policy };
        let (mut planned, _) = plan(&input);
        planned.workloads.get_mut("ml").expect("ml").mems = NumaSet::parse("0");
        let found = lint(&node, &policy, None, &planned);
        assert_eq!(found.iter().map(|f| f.rule).collect::<Vec<_>>(), expect, "{memory:?}");
    }
}
