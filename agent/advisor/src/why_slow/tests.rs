//! Shares that always make a whole; order, names and the sentence.

use std::collections::BTreeMap;
use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::testkit::*;

/// `web` in slot 1 waits; `batch` and `etl` in slots 2 and 3, nobody in slot 9.
fn node_with(causes: WaitCauses, target_p99: Option<Micros>) -> Snapshot {
    let mut web = waiting(shared(1, 1000, None), 9000, causes);
    web.spec.target_p99 = target_p99;
    if let Some(runq) = &mut web.runq {
        runq.p99 = Some(Nanos(2_000_000));
    }
    let all = vec![("web", web), ("batch", batch(2)), ("etl", batch(3))];
    snapshot(1, machine(1, 2, 1), all)
}

fn answer(node: &Snapshot) -> WhySlow {
    why_slow(node, &WorkloadName::from("web")).expect("it has a signal")
}

#[track_caller]
fn check(node: &Snapshot, expect: Expect) {
    let why = answer(node);
    let mut text = String::new();
    for cause in &why.causes {
        let name = cause.workload.as_ref().map_or("-", WorkloadName::as_str);
        writeln!(text, "{} ‰ {:?} {name}", cause.per_mille, cause.kind).expect("String");
    }
    writeln!(text, "{}\n{}", why.verdict, why.advice).expect("String");
    expect.assert_eq(&text);
    check_whole(&why);
}

#[track_caller]
fn check_whole(why: &WhySlow) {
    let shares: u32 = why.causes.iter().map(|cause| cause.per_mille).sum();
    assert_eq!(shares, if why.causes.is_empty() { 0 } else { 1000 });
    assert_eq!(why.waited.0, why.causes.iter().map(|cause| cause.wait.0).sum::<u64>());
    assert!(why.causes.is_sorted_by(|a, b| a.wait >= b.wait));
}

fn by_offender(waits: &[(u16, u64)]) -> BTreeMap<SlotId, Nanos> {
    waits.iter().map(|(slot, wait)| (SlotId(*slot), Nanos(*wait))).collect()
}

#[test]
fn offenders_are_named_and_sorted() {
    let waits = WaitCauses {
        by_offender: by_offender(&[(2, 20), (3, 60), (9, 5)]),
        own_group: Nanos(10),
        unknown: Nanos(5),
        ..WaitCauses::default()
    };
    check(
        &node_with(waits, None),
        expect![[r#"
            600 ‰ Offender etl
            200 ‰ Offender batch
            100 ‰ OwnGroup -
            50 ‰ Offender -
            50 ‰ Unknown -
            60 % of its waiting was because etl ran on the CPU.
            Give etl a lower QoS level or another pool, or let Berth enforce.
        "#]],
    );
}

#[test]
fn thirds_are_a_whole() {
    // 333 + 333 + 333, the missing thousandth goes to the first
    let thirds = WaitCauses {
        total: Nanos(3),
        by_offender: by_offender(&[(2, 1), (9, 1)]),
        own_group: Nanos(1),
        ..WaitCauses::default()
    };
    check(
        &node_with(thirds, None),
        expect![[r#"
            334 ‰ Offender batch
            333 ‰ Offender -
            333 ‰ OwnGroup -
            33 % of its waiting was because batch ran on the CPU.
            Give batch a lower QoS level or another pool, or let Berth enforce.
        "#]],
    );
}

#[test]
fn a_total_that_disagrees_with_its_parts_does_not_break_the_sum() {
    let less = WaitCauses { own_throttle: Nanos(3), total: Nanos(1), ..WaitCauses::default() };
    check(
        &node_with(less, None),
        expect![[r#"
            1000 ‰ OwnThrottle -
            100 % of its waiting was because its own cpu.max stopped it.
            Raise its CPU limit; other workloads have no part in this.
        "#]],
    );
    let more = WaitCauses { own_throttle: Nanos(3), total: Nanos(4), ..WaitCauses::default() };
    check(
        &node_with(more, None),
        expect![[r#"
            750 ‰ OwnThrottle -
            250 ‰ Unknown -
            75 % of its waiting was because its own cpu.max stopped it.
            Raise its CPU limit; other workloads have no part in this.
        "#]],
    );
    let short = WaitCauses { total: Nanos(200), idle_or_steal: Nanos(50), ..WaitCauses::default() };
    check(
        &node_with(short, None),
        expect![[r#"
            750 ‰ Unknown -
            250 ‰ IdleOrSteal -
            75 % of its waiting was because nobody could be named.
            Run it again; `berth doctor` says if the probe lost records.
        "#]],
    );
}

#[test]
fn no_wait_and_a_met_target_are_not_alarms() {
    check(
        &node_with(WaitCauses::default(), None),
        expect![[r#"
            It did not wait for a CPU in the last interval.
            The CPU is not what slows it: look at I/O, locks and its own work.
        "#]],
    );
    let own = WaitCauses { untracked: Nanos(7), ..WaitCauses::default() };
    check(
        &node_with(own, Some(Micros(2_000))),
        expect![[r#"
            1000 ‰ Untracked -
            100 % of its waiting was because processes outside every workload ran on the CPU.
            Its p99 is within its target: nothing needs to be done.
        "#]],
    );
}

#[test]
fn an_unknown_name_and_a_missing_signal_are_different() {
    let mut node = snapshot(1, machine(1, 2, 1), vec![("web", shared(1, 1000, None))]);
    let said =
        |node: &Snapshot, name: &str| why_slow(node, &name.into()).map_err(|e| e.to_string());
    assert_eq!(said(&node, "wbe"), Err(r#"no workload is named "wbe""#.to_owned()));
    let young = "run-queue waits are not known: its first interval is not over yet";
    assert_eq!(said(&node, "web"), Err(young.to_owned()));
    node.signal = Signal::PressureOnly { why: "no BTF".into() };
    assert_eq!(said(&node, "web"), Err("run-queue waits are not known: no BTF".to_owned()));
}

proptest! {
    /// Every share is its exact value rounded down or up, together they are the whole, and nobody
    /// was rounded up before one who had lost more.
    #[test]
    fn shares_are_rounded_by_less_than_one(
        offenders in prop::collection::btree_map(1u16..40, 0u64..1 << 50, 0..20),
        own in prop::array::uniform6(0u64..1 << 50),
    ) {
        let [total, own_throttle, own_group, idle_or_steal, untracked, unknown] = own.map(Nanos);
        let by_offender = offenders.into_iter().map(|(slot, ns)| (SlotId(slot), Nanos(ns)));
        let by_offender = by_offender.collect();
        let waits = WaitCauses {
            total, by_offender, own_throttle, own_group, idle_or_steal, untracked, unknown,
        };
        let why = answer(&node_with(waits, None));
        check_whole(&why);
        let whole = i128::from(why.waited.0);
        let gained = why.causes.iter().map(|cause| {
            i128::from(cause.per_mille) * whole - i128::from(cause.wait.0) * 1000
        });
        let (up, down): (Vec<i128>, Vec<i128>) = gained.partition(|gained| *gained > 0);
        prop_assert!(up.iter().chain(&down).all(|gained| gained.abs() < whole), "{why:?}");
        let least_up = up.iter().map(|gained| whole - gained).min();
        let most_down = down.iter().map(|gained| -gained).max();
        prop_assert!(least_up.is_none_or(|up| most_down.is_none_or(|down| up >= down)), "{why:?}");
    }
}
