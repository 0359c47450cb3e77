//! Which files a Plan fills, by policy and by what is measured; the arithmetic stands in the comments.

use std::sync::Arc;

use model::enhancement::{BurstPolicy, BurstWish, Enhancements};
use model::knob::{CpuMax, Knobs, MemoryLimit};
use model::measured::NodeMemory;
use model::plan::{Plan, WorkloadPlan};
use model::policy::Policy;
use model::qos::QosLevel;
use model::snapshot::{Snapshot, WorkloadView};
use model::{Bytes, Micros, NumaNodeId};

use crate::lint::lint;
use crate::plan::{PlanInput, plan};
use crate::testkit::*;

const GIB: u64 = 1 << 30;

fn wishing(mut view: WorkloadView, wish: impl FnOnce(&mut Enhancements)) -> WorkloadView {
    let mut wishes = (*view.spec.wish).clone();
    wish(&mut wishes);
    view.spec.wish = Arc::new(wishes);
    view
}

fn next(previous: Option<&Plan>, node: &Snapshot, policy: &Policy) -> Plan {
    let (plan, _) = plan(&PlanInput { now: node.at, snapshot: node, previous, policy });
    assert_eq!(lint(node, policy, previous, &plan), []);
    plan
}

fn text(plan: &WorkloadPlan) -> String {
    let limit = |limit: Option<MemoryLimit>| limit.map(|it| it.to_string()).unwrap_or_default();
    format!(
        "burst {} mems {} min {} low {} high {} max {} oom {}",
        plan.cpu_burst.map(|it| it.to_string()).unwrap_or_default(),
        plan.mems.map(|it| it.to_string()).unwrap_or_default(),
        limit(plan.memory_min),
        limit(plan.memory_low),
        limit(plan.memory_high),
        limit(plan.memory_max),
        plan.oom_score_adj.map(|it| it.to_string()).unwrap_or_default(),
    )
}

#[track_caller]
fn check(name: &str, view: WorkloadView, policy: &Policy, expect: &str) {
    let node = snapshot(1, machine(2, 2, 1), vec![(name, view), ("web", shared(9, 500, None))]);
    assert_eq!(text(&next(None, &node, policy).workloads[name]), expect);
}

const NOTHING: &str = "burst  mems  min  low  high  max  oom ";

#[test]
fn with_the_default_policy_files_are_left_alone() {
    let policy = splitting();
    check("a", shared(1, 1000, None), &policy, NOTHING);
    check("a", batch(2), &policy, NOTHING);
    // a node of its own: its memory comes from there
    let bound = wishing(shared(1, 1000, None), |wish| wish.numa_binding = true);
    check("a", bound, &policy, "burst  mems 0 min  low  high  max  oom ");
}

#[test]
fn a_static_burst_is_a_part_of_the_quota_that_the_workload_came_with() {
    let quota = CpuMax { quota: Some(Micros(200_000)), period: CpuMax::PERIOD };
    let burst = BurstWish { policy: BurstPolicy::Static, percent: Some(40.0), threshold: None };
    let with = |cpu_max| {
        let mut view = wishing(shared(1, 1000, None), |wish| wish.burst = burst);
        view.knobs = Knobs { cpu_max, ..Knobs::default() };
        view
    };
    // 40 % of 200 ms
    check("a", with(Some(quota)), &splitting(), "burst 80000 mems  min  low  high  max  oom ");
    check("a", with(Some(CpuMax::UNLIMITED)), &splitting(), NOTHING);
    check("a", with(None), &splitting(), NOTHING);
}

#[test]
fn protection_and_oom_scores_follow_their_policy() {
    let mut policy = splitting();
    policy.memory.protection.enabled = true;
    policy.memory.protection.min_percent = 50;
    policy.memory.protection.keep = Bytes(0);
    policy.memory.oom_priority = true;
    let mut view = shared(1, 1000, None);
    view.spec.memory_request = Bytes(256 << 20);
    // half of 256 MiB is never reclaimed, all of it last; priority 0 is 900 - 9 * 0
    let expect = "burst  mems  min 134217728 low 268435456 high  max  oom 900";
    check("a", view, &policy, expect);
    // priority -100: 900 + 100
    check("a", batch(2), &policy, "burst  mems  min  low  high  max  oom 1000");
    let own = workload(QosLevel::DedicatedCores, 3, 1000, None);
    // priority 100: -700 - 100
    check("a", own, &policy, "burst  mems  min 0 low 0 high  max  oom -800");
}

/// One node of 16 GiB of which 6 are free, batch work has 2.
fn pressed(free: u64, own: Option<MemoryLimit>) -> Snapshot {
    let mut ml = batch(2);
    ml.memory_current = Some(Bytes(2 * GIB));
    ml.knobs = Knobs { memory_max: own, memory_high: own, ..Knobs::default() };
    let mut node = snapshot(1, machine(1, 4, 1), vec![("ml", ml), ("web", shared(9, 500, None))]);
    let memory = NodeMemory { total: Bytes(16 * GIB), free: Bytes(free), ..Default::default() };
    node.host.memory.insert(NumaNodeId(0), memory);
    node
}

#[test]
fn the_guard_bounds_batch_work_that_has_no_limit_of_its_own() {
    let mut policy = splitting();
    policy.memory.guard.enabled = true;
    let ml = |plan: &Plan| text(&plan.workloads["ml"]);
    let first = next(None, &pressed(6 * GIB, Some(MemoryLimit::Max)), &policy);
    // 2 used + (6 free - 4 kept) = 4 GiB; 95 % of it, down to 64 KiB
    assert_eq!(ml(&first), "burst  mems  min  low  high 4080205824 max 4294967296 oom ");
    // what stands is ours now, and follows: 2 + (5 - 4)
    let ours = Some(MemoryLimit::Bytes(Bytes(4 * GIB)));
    let second = next(Some(&first), &pressed(5 * GIB, ours), &policy);
    assert_eq!(second.workloads["ml"].memory_max, Some(MemoryLimit::Bytes(Bytes(3 * GIB))));
    // its own limit, or one that was not read yet, is left alone
    let own = Some(MemoryLimit::Bytes(Bytes(GIB)));
    assert_eq!(ml(&next(None, &pressed(6 * GIB, own), &policy)), NOTHING);
    assert_eq!(ml(&next(None, &pressed(6 * GIB, None), &policy)), NOTHING);
}

/// Memory comes back to all nodes where it was narrowed, instead of being forgotten.
#[test]
fn memory_nodes_are_widened_again() {
    let policy = splitting();
    let bound = || wishing(shared(1, 1000, None), |wish| wish.numa_binding = true);
    let node = |second, here: bool| {
        let mut all = vec![("ml", batch(2)), ("web", shared(9, 500, None))];
        all.extend(here.then(|| ("db", bound())));
        snapshot(second, machine(2, 2, 1), all)
    };
    let mems = |plan: &Plan| plan.workloads["web"].mems.map(|mems| mems.to_string());
    let before = next(None, &node(1, false), &policy);
    assert_eq!(mems(&before), None);
    let beside = next(Some(&before), &node(2, true), &policy);
    assert_eq!(mems(&beside).as_deref(), Some("1"));
    let after = next(Some(&beside), &node(3, false), &policy);
    assert_eq!(mems(&after).as_deref(), Some("0-1"));
}
