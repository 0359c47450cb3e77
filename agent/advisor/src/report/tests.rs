//! Percentages that always make a whole, and states by their causes.

use std::collections::BTreeMap;

use expect_test::expect;
use model::plan::Overlay;
use model::policy::Policy;
use model::qos::WorkloadName;
use model::sample::WaitCauses;
use model::{MilliCpu, Nanos, SlotId, Timestamp};

use super::*;
use crate::plan::{PlanInput, plan};
use crate::testkit::*;

#[track_caller]
fn check_why(causes: WaitCauses, expect: expect_test::Expect) {
    let web = waiting(shared(1, 1000, None), 9000, causes);
    let node = snapshot(1, machine(1, 2, 1), vec![("web", web), ("ml", batch(2))]);
    let why = why_slow(&node, &WorkloadName::from("web")).expect("it has a signal");
    if !why.parts.is_empty() {
        assert_eq!(why.parts.iter().map(|part| part.per_mille).sum::<u32>(), 1000);
    }
    let line = |part: &WaitPart| format!("{} ‰ {}\n", part.per_mille, part.label);
    expect.assert_eq(&why.parts.iter().map(line).collect::<String>());
}

#[test]
fn why_slow_is_always_a_whole() {
    check_why(WaitCauses::default(), expect![""]);
    // thirds: 333 + 333 + 333, the missing thousandth goes to the first
    let thirds = WaitCauses {
        total: Nanos(3),
        by_offender: BTreeMap::from([(SlotId(2), Nanos(1)), (SlotId(9), Nanos(1))]),
        own_group: Nanos(1),
        ..WaitCauses::default()
    };
    check_why(
        thirds,
        expect![[r#"
            334 ‰ a workload that is gone ran (slot 9)
            333 ‰ its own tasks ran: the pool is too small
            333 ‰ ml ran
        "#]],
    );
    // a total that the parts do not reach
    let short = WaitCauses { total: Nanos(200), idle_or_steal: Nanos(50), ..WaitCauses::default() };
    check_why(
        short,
        expect![[r#"
            750 ‰ unknown
            250 ‰ the CPU was idle, in interrupts or stolen
        "#]],
    );
}

#[test]
fn an_unknown_workload_has_no_answer() {
    let node = snapshot(1, machine(1, 2, 1), vec![("web", shared(1, 1000, None))]);
    assert_eq!(why_slow(&node, &WorkloadName::from("web")), None);
    assert_eq!(why_slow(&node, &WorkloadName::from("db")), None);
}

#[test]
fn states_and_pools() {
    let mut limited = shared(3, 500, Some(400));
    limited.throttled_ratio = Some(0.5);
    let mut over = shared(4, 0, None);
    over.populated = false;
    let web = shared(1, 1000, Some(700));
    let all = vec![("web", web), ("ml", batch(2)), ("limited", limited), ("over", over)];
    let node = snapshot(1, machine(1, 4, 1), all);
    let policy = Policy::default();
    let input = PlanInput { now: node.at, snapshot: &node, previous: None, policy: &policy };
    let (planned, _) = plan(&input);
    let overlay = Overlay {
        began_at: Timestamp(0),
        expires_at: Timestamp(u64::MAX),
        floor: MilliCpu(100),
        cpu_idle: true,
        throttle: false,
        victim: "web".into(),
        first_wait_at: Timestamp(0),
    };
    let seen = report(&node, &planned, Some(&overlay));
    let states = seen.workloads.iter().map(|w| format!("{} {}\n", w.name, w.state.name()));
    expect![[r#"
        limited throttled
        ml suppressed
        over empty
        web running
    "#]]
    .assert_eq(&states.collect::<String>());
    let pools = seen.pools.iter().map(|p| {
        format!("{} {} need {} used {} of {}\n", p.name, p.cpus, p.need, p.used, p.n_workloads)
    });
    expect![[r#"
        reclaim 0-3 need 1000 used 1000 of 1
        reserve  need 0 used 0 of 0
        share 0-3 need 1500 used 1100 of 3
    "#]]
    .assert_eq(&pools.collect::<String>());
    assert_eq!(report(&node, &planned, None).workloads[1].state, WorkloadState::Running);
}
