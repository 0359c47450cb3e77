//! Named cases of pool sizing; the arithmetic stands in the comments.

use model::plan::Plan;
use model::policy::{Policy, Reserve};
use model::provision::SizeRule;
use model::qos::{PoolName, QosLevel};
use model::snapshot::{Signal, Snapshot, SourceHealth, WorkloadView};
use model::{Nanos, Timestamp, Topology};

use super::{Demand, PlanInput, PlanReport, plan, water_fill};
use crate::testkit::*;

fn next(previous: Option<&Plan>, snapshot: &Snapshot, policy: &Policy) -> (Plan, PlanReport) {
    plan(&PlanInput { now: snapshot.at, snapshot, previous, policy })
}

fn reserving(reserve: Reserve) -> Policy {
    let mut policy = splitting();
    policy.placement.reserve = reserve;
    policy
}

fn pools_text(plan: &Plan) -> String {
    let pool = |name| plan.pools.get(name).map(|pool| pool.cpus.to_string()).unwrap_or_default();
    format!("{}|{}|{}", pool(PoolName::RESERVE), pool(PoolName::SHARE), pool(PoolName::RECLAIM))
}

/// `expect` is `reserve|share|reclaim`.
#[track_caller]
fn check_first(topology: Topology, request: u64, policy: &Policy, expect: &str) {
    let node = snapshot(1, topology, vec![("web", shared(1, request, None)), ("ml", batch(2))]);
    let (plan, _) = next(None, &node, policy);
    assert_eq!(pools_text(&plan), expect);
}

#[test]
fn the_first_plan_follows_requests() {
    let policy = splitting();
    // 2500 mCPU are 3 CPUs
    check_first(machine(1, 8, 1), 2500, &policy, "|0-2|3-7");
    // nothing asked for is still one CPU
    check_first(machine(1, 8, 1), 0, &policy, "|0|1-7");
    // whole cores: CPU 0 and its sibling 4
    check_first(machine(1, 4, 2), 2000, &policy, "|0,4|1-3,5-7");
    // more than there is: share takes all, reclaim keeps its floor on the highest CPU
    check_first(machine(1, 8, 1), 90_000, &policy, "|0-7|7");
    // two NUMA nodes (0,1,4,5 and 2,3,6,7): a core of each in turn, then a thread
    check_first(machine(2, 2, 2), 5000, &policy, "|0-2,4,6|3,5,7");
}

#[test]
fn one_and_two_cpus_are_enough() {
    check_first(machine(1, 1, 1), 500, &splitting(), "|0|0");
    check_first(machine(1, 1, 1), 500, &Policy::default(), "|0|0");
    check_first(machine(2, 1, 1), 500, &splitting(), "|0|1");
    check_first(machine(2, 1, 1), 2000, &splitting(), "|0-1|1");
    check_first(machine(2, 1, 1), 2000, &Policy::default(), "|0-1|0-1");
    let reserved = reserving(Reserve::Count(1));
    check_first(machine(1, 1, 1), 500, &reserved, "|0|0");
    check_first(machine(2, 1, 1), 500, &reserved, "0|1|1");
}

#[test]
fn the_reserve_takes_one_thread_of_each_node_in_turn() {
    // 16 CPUs, 4 nodes {0,1,8,9} {2,3,10,11} {4,5,12,13} {6,7,14,15}
    let reserved = |count| reserving(Reserve::Count(count));
    check_first(machine(4, 2, 2), 1000, &reserved(2), "0,2|1|3-15");
    // the second round completes the cores of the first
    check_first(machine(4, 2, 2), 1000, &reserved(5), "0,2,4,6,8|1|3,5,7,9-15");
    let listed = reserving(Reserve::Cpus(cpus("0-1,99")));
    check_first(machine(1, 4, 1), 1000, &listed, "0-1|2|3");
    let all = reserving(Reserve::Cpus(cpus("0-3")));
    check_first(machine(1, 4, 1), 1000, &all, "|0|1-3");
}

/// What the kubelet keeps is reserved, and counts towards what policy reserves.
#[test]
fn the_kubelets_own_cpus_are_reserved() {
    let keeping = |kept, reserve| {
        let mut policy = reserving(reserve);
        policy.placement.kept = cpus(kept);
        policy
    };
    check_first(machine(1, 4, 1), 1000, &keeping("1", Reserve::Count(0)), "1|0|2-3");
    check_first(machine(1, 4, 1), 1000, &keeping("1", Reserve::Count(1)), "1|0|2-3");
    check_first(machine(1, 4, 1), 1000, &keeping("1", Reserve::Count(2)), "0-1|2|3");
    check_first(machine(1, 4, 1), 1000, &keeping("1", Reserve::Cpus(cpus("0"))), "0-1|2|3");
    check_first(machine(1, 4, 1), 1000, &keeping("1", Reserve::Cpus(cpus("1"))), "1|0|2-3");
    // One that is not there is nobody's, and one stays usable.
    check_first(machine(1, 4, 1), 1000, &keeping("9", Reserve::Count(0)), "|0|1-3");
    check_first(machine(1, 4, 1), 1000, &keeping("0-3", Reserve::Count(0)), "|0|1-3");
    check_first(machine(1, 4, 1), 1000, &keeping("0-2", Reserve::Cpus(cpus("3"))), "|0|1-3");
    check_first(machine(1, 4, 1), 1000, &keeping("0-1", Reserve::Count(9)), "0-2|3|3");
    check_first(machine(1, 1, 1), 1000, &keeping("0", Reserve::Count(0)), "|0|0");
    let mut topology = machine(1, 4, 1);
    offline(&mut topology, 1);
    check_first(topology, 1000, &keeping("0-1", Reserve::Count(0)), "0|2|3");
}

/// The kubelet's word came late: who owns one of its CPUs moves, once.
#[test]
fn a_dedicated_workload_leaves_cpus_that_the_kubelet_keeps() {
    let mut policy = splitting();
    let node = |second| {
        let all = vec![
            ("db", workload(QosLevel::DedicatedCores, 1, 2000, None)),
            ("web", shared(2, 500, None)),
        ];
        snapshot(second, machine(1, 4, 1), all)
    };
    let own = |plan: &Plan| plan.pools[PoolName::DEDICATED].cpus.to_string();
    let (before, _) = next(None, &node(1), &policy);
    assert_eq!(own(&before), "0-1");
    policy.placement.kept = cpus("0");
    let (after, report) = next(Some(&before), &node(2), &policy);
    assert_eq!((pools_text(&after).as_str(), own(&after).as_str()), ("0|3|3", "1-2"));
    assert!(report.decisions.iter().any(|decision| decision.rule == "kept"));
    let (again, report) = next(Some(&after), &node(3), &policy);
    assert_eq!(own(&again), "1-2");
    assert!(report.decisions.iter().all(|decision| decision.rule != "kept"));
}

#[test]
fn offline_cpus_are_in_no_pool() {
    let mut topology = machine(1, 4, 1);
    offline(&mut topology, 0);
    offline(&mut topology, 2);
    check_first(topology, 1000, &splitting(), "|1|3");
}

/// A service that was calm for long lets batch work grow by one CPU a tick; each row is (second, usage
/// of web, CPUs that batch has). `None` is the first reading after a gap.
#[track_caller]
fn check_growth(policy: &Policy, rows: &[(u64, Option<u64>, usize)]) {
    let mut previous: Option<Plan> = None;
    for (second, usage, expect) in rows {
        let all = vec![("web", shared(1, 1000, *usage)), ("ml", batch(2))];
        let node = snapshot(*second, machine(1, 8, 1), all);
        let (plan, _) = next(previous.as_ref(), &node, policy);
        assert_eq!(plan.pools[PoolName::RECLAIM].cpus.len(), *expect, "second {second}");
        previous = Some(plan);
    }
}

/// The agent was stopped for ten seconds: the calm it remembers is from before, and what happened
/// meanwhile nobody saw.
#[test]
fn no_growth_is_decided_from_a_gap() {
    // 4.8 CPUs with a margin of a quarter are 6; then 1.2 is 2, after the usual 10 s, one by one
    let calm = [(1, Some(4800), 2), (2, Some(1200), 2), (11, Some(1200), 2), (12, Some(1200), 3)];
    check_growth(&splitting(), &calm);
    let stopped = [(1, Some(4800), 2), (2, Some(1200), 2), (3, Some(1200), 2), (14, None, 2)];
    let after = [(15, Some(1200), 2), (24, Some(1200), 2), (25, Some(1200), 3)];
    check_growth(&splitting(), &[&stopped[..], &after[..]].concat());
}

/// A new pod has no usage yet; the others were measured, so the time they were calm counts.
#[test]
fn a_workload_that_was_not_measured_yet_delays_growth_by_a_tick() {
    let node = |second, new: Option<Option<u64>>| {
        let mut all = vec![("web", shared(1, 0, Some(1200))), ("ml", batch(2))];
        all.extend(new.map(|usage| ("new", shared(3, 0, usage))));
        snapshot(second, machine(1, 8, 1), all)
    };
    let policy = splitting();
    let busy =
        snapshot(1, machine(1, 8, 1), vec![("web", shared(1, 0, Some(4800))), ("ml", batch(2))]);
    let mut previous = next(None, &busy, &policy).0;
    for (second, new, expect) in [(2, None, 2), (12, Some(None), 2), (13, Some(Some(100)), 3)] {
        previous = next(Some(&previous), &node(second, new), &policy).0;
        let n = previous.pools[PoolName::RECLAIM].cpus.len();
        assert_eq!(n, expect, "second {second}");
    }
}

/// Plans once per second; each row is (usage of web, pools expected).
#[track_caller]
fn check_seconds(policy: &Policy, rows: &[(u64, &str)]) {
    let mut previous: Option<Plan> = None;
    for (second, (usage, expect)) in rows.iter().enumerate() {
        let web = shared(1, 1000, Some(*usage));
        let all = vec![("web", web), ("ml", batch(2))];
        let node = snapshot(second as u64 + 1, machine(1, 8, 1), all);
        let (plan, _) = next(previous.as_ref(), &node, policy);
        assert_eq!(pools_text(&plan), *expect, "second {}", second + 1);
        previous = Some(plan);
    }
}

#[test]
fn share_grows_at_once_and_shrinks_late_and_slowly() {
    let mut policy = splitting();
    policy.share.shrink_after = Nanos::from_secs(2);
    check_seconds(
        &policy,
        &[
            // 800 x 1.25 = 1000: one CPU
            (800, "|0|1-7"),
            // 3000 x 1.25 = 3750: four
            (3000, "|0-3|4-7"),
            // low for 0 s, 1 s, then 2 s: one CPU per tick
            (800, "|0-3|4-7"),
            (800, "|0-3|4-7"),
            (800, "|0-2|3-7"),
            (800, "|0-1|2-7"),
            // a new need stops it
            (2400, "|0-2|3-7"),
            (800, "|0-2|3-7"),
        ],
    );
}

#[test]
fn lent_cpus_are_taken_back_one_by_one_while_measured_need_is_near_the_size() {
    let mut policy = Policy::default();
    policy.share.shrink_after = Nanos::from_secs(1);
    policy.reclaim.max_growth_per_tick = 2;
    check_seconds(
        &policy,
        &[
            (1000, "|0-7|0-7"),
            // 5200 x 1.25 = 6500 >= 80 % of 8000
            (5200, "|0-7|1-7"),
            (5200, "|0-7|2-7"),
            (6300, "|0-7|3-7"),
            // calm: waits one second, then two CPUs per tick come back
            (1000, "|0-7|3-7"),
            (1000, "|0-7|1-7"),
            (1000, "|0-7|0-7"),
        ],
    );
}

#[track_caller]
fn check_late(policy: &Policy, causes: WaitCauses, signal: Signal, expect: [&str; 3]) {
    let mut previous: Option<Plan> = None;
    for (second, expect) in expect.into_iter().enumerate() {
        let web = waiting(shared(1, 1000, Some(500)), 20_000, causes.clone());
        let all = vec![("web", web), ("ml", batch(2))];
        let mut node = snapshot(second as u64 + 1, machine(1, 4, 1), all);
        node.signal = signal.clone();
        let (plan, _) = next(previous.as_ref(), &node, policy);
        assert_eq!(pools_text(&plan), expect, "second {}", second + 1);
        previous = Some(plan);
    }
}

use model::sample::WaitCauses;

#[test]
fn two_late_seconds_move_a_cpu() {
    let lending = Policy::default();
    check_late(&lending, caused_by(2, 50), Signal::Good, ["|0-3|0-3", "|0-3|1-3", "|0-3|2-3"]);
    let small = caused_by_own_group(50);
    check_late(&splitting(), small.clone(), Signal::Good, ["|0|1-3", "|0-1|2-3", "|0-2|3"]);
    // its own quota, and tasks nobody tracks, are no reason
    let own = WaitCauses { total: Nanos(9), own_throttle: Nanos(9), ..WaitCauses::default() };
    check_late(&splitting(), own, Signal::Good, ["|0|1-3"; 3]);
    let other = WaitCauses { total: Nanos(9), untracked: Nanos(9), ..WaitCauses::default() };
    check_late(&lending, other, Signal::Good, ["|0-3|0-3"; 3]);
    // under steal the p99 is the hypervisor's
    let stolen = Signal::Degraded { why: "steal".to_owned() };
    check_late(&splitting(), small, stolen, ["|0|1-3"; 3]);
}

#[test]
fn reclaim_grows_by_a_bounded_number_and_not_at_all_while_degraded() {
    let mut policy = splitting();
    policy.share.shrink_after = Nanos(0);
    policy.share.max_shrink_per_tick = 8;
    policy.reclaim.max_growth_per_tick = 2;
    let node = |second, usage, signal| {
        let mut node = snapshot(
            second,
            machine(1, 8, 1),
            vec![("web", shared(1, 0, Some(usage))), ("ml", batch(2))],
        );
        node.signal = signal;
        node
    };
    let (busy, _) = next(None, &node(1, 6000, Signal::Good), &policy);
    assert_eq!(pools_text(&busy), "|0-7|7");
    let degraded = Signal::Degraded { why: "steal".to_owned() };
    let (same, _) = next(Some(&busy), &node(2, 100, degraded), &policy);
    assert_eq!(same.pools[PoolName::RECLAIM].cpus.len(), 1);
    let (calm, _) = next(Some(&busy), &node(2, 100, Signal::Good), &policy);
    assert_eq!(pools_text(&calm), "|0-4|5-7");
}

#[test]
fn stale_input_keeps_the_plan_and_then_leaves_batch_its_floor() {
    let policy = splitting();
    let mut node =
        snapshot(1, machine(1, 4, 1), vec![("web", shared(1, 500, None)), ("ml", batch(2))]);
    let (first, _) = next(None, &node, &policy);
    assert_eq!(pools_text(&first), "|0|1-3");
    let mut at = |second: u64, previous: &Plan| {
        node.at = Timestamp(second * SECOND);
        for source in node.sources.values_mut() {
            source.age = Some(Nanos::from_secs(second - 1));
        }
        next(Some(previous), &node, &policy)
    };
    // 3 s old is allowed, 4 s is not
    let (second, report) = at(4, &first);
    assert_eq!(report.findings, vec![]);
    let (kept, report) = at(8, &second);
    assert_eq!((report.findings[0].rule, &kept), ("stale-source", &second));
    let (floor, report) = at(20, &kept);
    assert_eq!(report.findings[0].rule, "stale-source");
    assert_eq!(pools_text(&floor), "|0-2|3");
    // it stays there, and still knows how old its input is
    let (again, _) = at(25, &floor);
    assert_eq!((pools_text(&again).as_str(), again.snapshot_at), ("|0-2|3", second.snapshot_at));
}

#[test]
fn levels_map_to_pools() {
    let node = snapshot(
        1,
        machine(1, 4, 1),
        vec![
            ("db", workload(QosLevel::DedicatedCores, 1, 1000, None)),
            ("dns", workload(QosLevel::SystemCores, 2, 0, None)),
            ("ml", batch(3)),
            ("web", shared(4, 1000, None)),
        ],
    );
    let (plan, report) = next(None, &node, &splitting());
    let row = |name: &str| {
        let w = &plan.workloads[name];
        format!("{} {} {:?}", w.pool, w.cpus, w.cpu_weight.map(|weight| weight.get()))
    };
    assert_eq!(row("db"), "dedicated 0 None");
    assert_eq!(row("dns"), "system 0-3 None");
    assert_eq!(row("ml"), "reclaim 2-3 Some(1)");
    assert_eq!(row("web"), "share 1 None");
    // 4 CPUs, twice: 800 ms per 100 ms
    assert_eq!(
        plan.workloads["ml"].cpu_max.map(|max| max.to_string()).as_deref(),
        Some("800000 100000")
    );
    assert_eq!(report.findings, []);
}

/// The finding that says who does not get what, and where it runs meanwhile.
#[track_caller]
fn check_refused(name: &str, view: WorkloadView, expect: (&str, &str)) {
    let all = vec![(name, view), ("ml", batch(2)), ("web", shared(1, 2000, None))];
    let node = snapshot(1, machine(2, 2, 1), all);
    let (plan, report) = next(None, &node, &splitting());
    let w = &plan.workloads[name];
    let found = report.findings.iter().find(|found| found.rule == "unplaceable");
    let why = found.map(|found| found.message.as_str()).unwrap_or_default();
    assert_eq!((format!("{} {}", w.pool, w.cpus).as_str(), why), expect);
    assert!(!plan.ledger.pods.contains_key(name));
}

#[test]
fn who_is_refused_runs_in_the_pool_of_its_level_and_is_told() {
    check_refused(
        "db",
        workload(QosLevel::DedicatedCores, 3, 5000, None),
        (
            "share 0-3",
            "db does not get what it asks for and runs in the share pool: 5 CPUs of its own are \
             asked for; 4 can be given: 4 that pods without NUMA binding do not need and 0 that \
             bound pods do not need",
        ),
    );
    // two nodes of two CPUs
    let mut bound = shared(3, 3000, None);
    let wish =
        model::enhancement::Enhancements { numa_binding: true, ..(*bound.spec.wish).clone() };
    bound.spec.wish = std::sync::Arc::new(wish);
    check_refused(
        "api",
        bound,
        (
            "share 0-3",
            "api does not get what it asks for and runs in the share pool: no single NUMA node can \
             give 3.000 CPUs; left by node {0: 2.000 CPUs, 1: 2.000 CPUs}, shared pods without NUMA \
             binding can give up 4 CPUs",
        ),
    );
}

/// CPUs of its own stay a workload's, whoever comes and goes, and come back bit by bit to others.
#[test]
fn a_promise_outlives_changes_around_it() {
    let own = || workload(QosLevel::DedicatedCores, 3, 2000, None);
    let node = |second, db: bool, more: u16| {
        let mut all = vec![("ml", batch(2)), ("web", shared(1, 1000, None))];
        all.extend(db.then(|| ("db", own())));
        let names = ["a", "b", "c"];
        all.extend((0..more).map(|n| (names[usize::from(n)], shared(10 + n, 500, None))));
        snapshot(second, machine(1, 8, 1), all)
    };
    let mut policy = splitting();
    policy.reclaim.max_growth_per_tick = 1;
    let (first, _) = next(None, &node(1, true, 0), &policy);
    assert_eq!(first.workloads["db"].cpus, cpus("0-1"));
    let (second, _) = next(Some(&first), &node(2, true, 3), &policy);
    assert_eq!(second.workloads["db"].cpus, cpus("0-1"));
    assert_eq!(pools_text(&second), "|2-4|5-7");
    // it leaves: one CPU a tick for batch work, the rest waits with the share pool
    let (third, _) = next(Some(&second), &node(3, false, 3), &policy);
    assert_eq!(third.ledger.pods.len(), 5);
    assert_eq!(pools_text(&third), "|0,2-4|1,5-7");
}

/// An agent that starts goes on from its checkpoint: the promise stands although nothing was read yet.
#[test]
fn what_was_not_read_is_not_gone() {
    let own = workload(QosLevel::DedicatedCores, 3, 2000, None);
    let node = snapshot(1, machine(1, 4, 1), vec![("db", own), ("ml", batch(2))]);
    let (first, _) = next(None, &node, &splitting());
    let mut unread = node.clone();
    unread.workloads.clear();
    unread.sources.insert(model::derive::WORKLOADS, SourceHealth::default());
    let (second, _) = next(Some(&first), &unread, &splitting());
    assert_eq!(second.ledger, first.ledger);
    assert_eq!(second.pools[PoolName::DEDICATED].cpus, cpus("0-1"));
    let mut gone = node;
    gone.workloads.remove("db");
    let (third, _) = next(Some(&second), &gone, &splitting());
    assert!(!third.ledger.pods.contains_key("db"));
}

/// Sizes by a rule of `provision`; each row is (second, usage, pools).
#[track_caller]
fn check_rule(rule: SizeRule, rows: &[(u64, u64, &str)]) {
    let mut policy = splitting();
    policy.provision.rules = vec![rule];
    policy.provision.ramp.min_cpus = 1;
    let mut previous: Option<Plan> = None;
    for (second, usage, expect) in rows {
        let all = vec![("ml", batch(2)), ("web", shared(1, 6000, Some(*usage)))];
        let node = snapshot(*second, machine(1, 12, 1), all);
        let (plan, _) = next(previous.as_ref(), &node, &policy);
        assert_eq!(pools_text(&plan), *expect, "second {second}");
        assert_eq!(crate::lint(&node, &policy, previous.as_ref(), &plan), []);
        previous = Some(plan);
    }
}

#[test]
fn a_rule_of_provision_sizes_the_pool_as_well() {
    check_rule(SizeRule::Requests, &[(1, 1000, "|0-5|6-11"), (2, 11_000, "|0-5|6-11")]);
    // 6 are asked for; 2000 * 1.25 = 3 are needed: two CPUs down, then nothing for 30 s
    let canonical = [(1, 2000, "|0-3|4-11"), (2, 2000, "|0-3|4-11"), (31, 2000, "|0-2|3-11")];
    check_rule(SizeRule::Canonical, &canonical);
    // 7200 * 1.25 = 9, at once
    check_rule(SizeRule::Canonical, &[(1, 2000, "|0-3|4-11"), (2, 7200, "|0-8|9-11")]);
}

#[track_caller]
fn check_fill(capacity: u64, wants: &[u64], expect: &[u64]) {
    let demands: Vec<Demand> = wants.iter().map(|want| Demand { want: *want }).collect();
    assert_eq!(water_fill(capacity, &demands), expect);
}

#[test]
fn water_finds_one_level() {
    check_fill(100, &[], &[]);
    check_fill(4000, &[500, 3000, 3000], &[500, 1750, 1750]);
    check_fill(9000, &[500, 3000, 3000], &[500, 3000, 3000]);
    check_fill(0, &[1, 2], &[0, 0]);
    // 10 over three that all want more: the odd one goes to the first
    check_fill(10, &[9, 9, 9], &[4, 3, 3]);
    check_fill(7, &[0, 100], &[0, 7]);
}
