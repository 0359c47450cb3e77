//! What crosses the wire: every kind of cause, both sentences, and two kinds of refusal.

use std::fmt::Write;

use expect_test::expect;
use model::sample::WaitCauses;
use model::snapshot::{RunqView, Signal};
use model::{Micros, Nanos, SlotId};

use super::*;
use crate::serve::tests::{state_of, workload};

#[test]
fn a_report_carries_every_kind_of_cause() {
    let by_offender = [(2, 20), (3, 50), (9, 3)];
    let causes = WaitCauses {
        by_offender: by_offender.map(|(slot, wait)| (SlotId(slot), Nanos(wait))).into(),
        own_group: Nanos(10),
        own_throttle: Nanos(8),
        idle_or_steal: Nanos(5),
        untracked: Nanos(3),
        unknown: Nanos(1),
        ..WaitCauses::default()
    };
    let mut web = workload(1);
    web.spec.target_p99 = Some(Micros(40));
    web.runq = web.runq.map(|runq| RunqView { causes, ..runq });
    let state = state_of([("web", web), ("batch", workload(2)), ("etl", workload(3))]);
    let report = report(&state, "web", Timestamp(9)).expect("web exists");
    let mut text = String::new();
    for cause in &report.causes {
        let (kind, name) = (cause.kind().as_str_name(), cause.workload.as_deref());
        writeln!(text, "{:.3} {kind} {}", cause.share_ratio, name.unwrap_or("-")).expect("String");
    }
    writeln!(text, "{}\n{}", report.verdict, report.advice).expect("String");
    expect![[r#"
        0.500 CAUSE_KIND_OFFENDER etl
        0.200 CAUSE_KIND_OFFENDER batch
        0.100 CAUSE_KIND_OWN_GROUP -
        0.080 CAUSE_KIND_OWN_THROTTLE -
        0.050 CAUSE_KIND_IDLE_OR_STEAL -
        0.030 CAUSE_KIND_OFFENDER -
        0.030 CAUSE_KIND_UNTRACKED -
        0.010 CAUSE_KIND_UNKNOWN -
        50 % of its waiting was because etl ran on the CPU.
        Give etl a lower QoS level or another pool, or let Berth enforce.
    "#]]
    .assert_eq(&text);
    let sum: f64 = report.causes.iter().map(|cause| cause.share_ratio).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    assert_eq!(report.wait_total_ns, report.causes.iter().map(|cause| cause.wait_ns).sum::<u64>());
    assert_eq!((report.workload.as_str(), report.qos.as_str()), ("web", "shared_cores"));
    assert_eq!((report.at_mono_ns, report.now_mono_ns), (1_000, 9));
    assert_eq!((report.wait_p50_ns, report.wait_p99_ns), (Some(10_000), Some(90_000)));
    assert_eq!(report.target_wait_p99_us, Some(40));
}

#[test]
fn an_unknown_name_and_a_missing_signal_are_different_refusals() {
    let mut state = state_of([("web", workload(1))]);
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
