//! Reports as text: order, names, shares that add up to one, and the sentence.

use std::collections::BTreeMap;
use std::fmt::Write;

use expect_test::{Expect, expect};
use model::Micros;

use super::*;
use crate::serve::tests::{state_of, workload};

fn waits(by_offender: &[(u16, u64)], own: WaitCauses) -> WaitCauses {
    let by_offender: BTreeMap<SlotId, Nanos> =
        by_offender.iter().map(|(slot, wait)| (SlotId(*slot), Nanos(*wait))).collect();
    WaitCauses { by_offender, ..own }
}

fn state_with(causes: WaitCauses, target: Option<Micros>) -> NodeState {
    let mut web = workload(1);
    web.spec.target_p99 = target;
    let runq = RunqView { causes, p99: Some(Nanos(2_000_000)), ..web.runq.expect("has waits") };
    web.runq = Some(runq);
    state_of([("web", web), ("batch", workload(2)), ("etl", workload(3))])
}

#[track_caller]
fn check(state: &NodeState, expect: Expect) {
    let report = report(state, "web", Timestamp(9)).expect("web exists");
    let mut text = String::new();
    for cause in &report.causes {
        let (kind, name) = (cause.kind().as_str_name(), cause.workload.as_deref());
        writeln!(text, "{:.3} {kind} {}", cause.share_ratio, name.unwrap_or("-")).expect("String");
    }
    writeln!(text, "{}\n{}", report.verdict, report.advice).expect("String");
    expect.assert_eq(&text);
    let sum: f64 = report.causes.iter().map(|cause| cause.share_ratio).sum();
    assert!(report.causes.is_empty() || (sum - 1.0).abs() < 1e-9, "{sum}");
    assert_eq!(report.wait_total_ns, report.causes.iter().map(|cause| cause.wait_ns).sum::<u64>());
}

#[test]
fn offenders_are_named_and_sorted() {
    let own = WaitCauses { own_group: Nanos(10), unknown: Nanos(5), ..WaitCauses::default() };
    let state = state_with(waits(&[(2, 20), (3, 60), (9, 5)], own), None);
    check(
        &state,
        expect![[r#"
        0.600 CAUSE_KIND_OFFENDER etl
        0.200 CAUSE_KIND_OFFENDER batch
        0.100 CAUSE_KIND_OWN_GROUP -
        0.050 CAUSE_KIND_OFFENDER -
        0.050 CAUSE_KIND_UNKNOWN -
        60 % of its waiting was because etl ran on the CPU.
        Give etl a lower QoS level or another pool, or let Berth enforce.
    "#]],
    );
}

#[test]
fn a_total_that_disagrees_with_its_parts_does_not_break_the_sum() {
    let less = WaitCauses { own_throttle: Nanos(3), total: Nanos(1), ..WaitCauses::default() };
    check(
        &state_with(less, None),
        expect![[r#"
            1.000 CAUSE_KIND_OWN_THROTTLE -
            100 % of its waiting was because its own cpu.max stopped it.
            Raise its CPU limit; other workloads have no part in this.
        "#]],
    );
    let more = WaitCauses { own_throttle: Nanos(3), total: Nanos(4), ..WaitCauses::default() };
    check(
        &state_with(more, None),
        expect![[r#"
            0.750 CAUSE_KIND_OWN_THROTTLE -
            0.250 CAUSE_KIND_UNKNOWN -
            75 % of its waiting was because its own cpu.max stopped it.
            Raise its CPU limit; other workloads have no part in this.
        "#]],
    );
}

#[test]
fn no_wait_and_a_met_target_are_not_alarms() {
    check(
        &state_with(WaitCauses::default(), None),
        expect![[r#"
        It did not wait for a CPU in the last interval.
        The CPU is not what slows it: look at I/O, locks and its own work.
    "#]],
    );
    let own = WaitCauses { untracked: Nanos(7), ..WaitCauses::default() };
    check(
        &state_with(own, Some(Micros(2_000))),
        expect![[r#"
        1.000 CAUSE_KIND_UNTRACKED -
        100 % of its waiting was because processes outside every workload ran on the CPU.
        Its p99 is within its target: nothing needs to be done.
    "#]],
    );
}

#[test]
fn an_unknown_name_and_a_missing_signal_are_different_refusals() {
    let mut state = state_with(WaitCauses::default(), None);
    let status = report(&state, "wbe", Timestamp(9)).expect_err("no such name");
    assert_eq!(
        (status.code(), status.message()),
        (tonic::Code::NotFound, r#"no workload is named "wbe""#)
    );
    let mut blind = workload(1);
    blind.runq = None;
    state = state_of([("web", blind)]);
    let mut snapshot = (*state.snapshot).clone();
    snapshot.signal = Signal::PressureOnly { why: "no BTF".into() };
    state.snapshot = std::sync::Arc::new(snapshot);
    let status = report(&state, "web", Timestamp(9)).expect_err("no signal");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert_eq!(status.message(), "run-queue waits are not known: no BTF");
}
