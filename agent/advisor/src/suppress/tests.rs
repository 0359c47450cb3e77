//! Who is protected, for how long, and when it ends.

use model::plan::Overlay;
use model::policy::Policy;
use model::qos::{QosLevel, WorkloadName};
use model::sample::Burst;
use model::snapshot::WorkloadView;
use model::{CpuId, MilliCpu, Nanos, SlotId, Timestamp};

use super::*;
use crate::testkit::*;

fn at_ms(ms: u64) -> Timestamp {
    Timestamp(0).after(Nanos::from_millis(ms))
}

fn burst(victim: u16, offender: u16) -> Burst {
    Burst {
        victim: SlotId(victim),
        cpu: CpuId(0),
        first_wait_at: at_ms(1),
        wait: Nanos::from_millis(4),
        offender: SlotId(offender),
    }
}

/// The numbers below are for a hold of one second.
fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.suppression.hold = Nanos::from_millis(1000);
    policy
}

fn overlay(expires_ms: u64) -> Overlay {
    begin(at_ms(0), Nanos::from_millis(expires_ms), &"web".into(), at_ms(0), &policy())
}

struct Case<'a> {
    victim: WorkloadView,
    offender: u16,
    offender_qos: Option<QosLevel>,
    meets_batch: bool,
    overlay: Option<&'a Overlay>,
    enabled: bool,
}

const BATCH: Option<QosLevel> = Some(QosLevel::ReclaimedCores);

fn case() -> Case<'static> {
    let victim = shared(1, 500, Some(300));
    Case {
        victim,
        offender: 2,
        offender_qos: BATCH,
        meets_batch: true,
        overlay: None,
        enabled: true,
    }
}

/// `expect` is the rule and, in ms, when the overlay ends.
#[track_caller]
fn check(case: Case<'_>, expect: (&str, Option<u64>)) {
    let mut policy = policy();
    policy.suppression.enabled = case.enabled;
    let (overlay, decision) = suppress(&SuppressInput {
        now: at_ms(10),
        burst: &burst(case.victim.slot.0, case.offender),
        victim_name: &WorkloadName::from("web"),
        victim: &case.victim,
        offender_qos: case.offender_qos,
        meets_batch: case.meets_batch,
        overlay: case.overlay,
        history: &OverlayHistory::default(),
        policy: &policy,
    });
    let ends = overlay.map(|overlay| overlay.expires_at.0 / 1_000_000);
    assert_eq!((decision.rule, ends), expect);
}

#[test]
fn a_burst_begins_renews_or_is_refused() {
    check(case(), ("suppress-begin", Some(1010)));
    // nobody we know ran: rather protect
    check(Case { offender: 0, offender_qos: None, ..case() }, ("suppress-begin", Some(1010)));
    let standing = overlay(500);
    check(Case { overlay: Some(&standing), ..case() }, ("suppress-renew", Some(1010)));
    // a longer one is not cut short
    let long = overlay(9_000);
    check(Case { overlay: Some(&long), ..case() }, ("suppress-renew", Some(9_000)));
    // one that has run out is none
    let over = overlay(10);
    check(Case { overlay: Some(&over), ..case() }, ("suppress-begin", Some(1010)));

    check(Case { enabled: false, ..case() }, ("suppress-disabled", None));
    check(Case { victim: batch(1), ..case() }, ("suppress-victim-reclaimed", None));
    check(Case { offender: 1, ..case() }, ("suppress-own-group", None));
    let web = Some(QosLevel::SharedCores);
    check(Case { offender_qos: web, ..case() }, ("suppress-offender-not-reclaimed", None));
    let mut throttled = shared(1, 500, Some(300));
    throttled.throttled_ratio = Some(0.9);
    check(Case { victim: throttled, ..case() }, ("suppress-own-throttle", None));
    // its CPUs are its own: nobody whom suppression holds can have taken them
    let alone = || Case { meets_batch: false, ..case() };
    check(Case { offender: 0, offender_qos: None, ..alone() }, ("suppress-elsewhere", None));
    // batch work that is still there goes at once
    check(alone(), ("suppress-begin", Some(1010)));
    // a refusal leaves an overlay of somebody else alone
    let refused = Case { offender: 1, overlay: Some(&standing), ..case() };
    check(refused, ("suppress-own-group", Some(500)));
}

#[track_caller]
fn check_renew(victim: WorkloadView, now_ms: u64, calm: Option<u64>, expect: (&str, Option<u64>)) {
    let policy = policy();
    let overlay = overlay(1_000);
    let history = OverlayHistory { calm_usage: calm.map(MilliCpu), ..OverlayHistory::default() };
    let node = snapshot(1, machine(1, 2, 1), vec![("web", victim), ("ml", batch(2))]);
    let input = RenewInput {
        now: at_ms(now_ms),
        overlay: &overlay,
        history: &history,
        snapshot: &node,
        policy: &policy,
    };
    let (left, decision) = renew(&input);
    let ends = left.map(|overlay| overlay.expires_at.0 / 1_000_000);
    assert_eq!((decision.map_or("", |it| it.rule), ends), expect);
}

#[test]
fn the_tick_renews_what_is_still_needed() {
    let late = waiting(shared(1, 500, None), 20_000, caused_by(2, 30));
    check_renew(late.clone(), 900, None, ("suppress-renew-late", Some(1900)));
    // late since its own tasks ran: suppression does not help
    let own = waiting(shared(1, 500, None), 20_000, caused_by_own_group(30));
    check_renew(own, 900, None, ("", Some(1000)));
    // 300 was calm: 450 is half as much again, 449 is not
    check_renew(shared(1, 500, Some(450)), 900, Some(300), ("suppress-renew-busy", Some(1900)));
    check_renew(shared(1, 500, Some(449)), 900, Some(300), ("", Some(1000)));
    // 30 over 20 is noise
    check_renew(shared(1, 500, Some(30)), 900, Some(20), ("", Some(1000)));
    check_renew(shared(1, 500, Some(300)), 1_000, Some(300), ("suppress-end", None));
    // a service that grew for good ends after 30 s, one that is late does not
    check_renew(shared(1, 500, Some(900)), 31_000, Some(300), ("suppress-end", None));
    // two ticks inside the overlay and still late: idle class is not enough
    check_renew(late.clone(), 1_999, None, ("suppress-renew-late", Some(2_999)));
    check_renew(late.clone(), 2_000, None, ("suppress-throttle", Some(3_000)));
    check_renew(late, 31_000, None, ("suppress-throttle", Some(32_000)));
}

#[test]
fn only_the_second_stage_throttles_unless_idle_class_is_forbidden() {
    let late = waiting(shared(1, 500, None), 20_000, caused_by(2, 30));
    let node = snapshot(1, machine(1, 2, 1), vec![("web", late), ("ml", batch(2))]);
    let throttles = |now_ms: u64, overlay: &Overlay| {
        let (history, policy) = (OverlayHistory::default(), policy());
        let now = at_ms(now_ms);
        let input =
            RenewInput { now, overlay, history: &history, snapshot: &node, policy: &policy };
        renew(&input).0.map(|overlay| overlay.throttle)
    };
    let first = overlay(1_000);
    assert!(first.cpu_idle && !first.throttle);
    assert_eq!(throttles(900, &first), Some(false));
    assert_eq!(throttles(2_000, &first), Some(true));
    let mut no_idle = policy();
    no_idle.suppression.use_cpu_idle = false;
    let at_once = begin(at_ms(0), Nanos::from_millis(1), &"web".into(), at_ms(0), &no_idle);
    assert!(!at_once.cpu_idle && at_once.throttle);
}

#[test]
fn a_burst_right_after_the_end_doubles_the_hold_up_to_sixteen_times() {
    let policy = policy();
    let victim = shared(1, 500, Some(100));
    let mut history = OverlayHistory::default();
    let mut now = at_ms(0);
    let mut holds = Vec::new();
    for _ in 0..7 {
        history = history.begun(now, &victim, &policy);
        holds.push(history.hold(&policy).0 / 1_000_000);
        now = now.after(history.hold(&policy));
        history = history.ended(now);
    }
    assert_eq!(holds, [1000, 2000, 4000, 8000, 16_000, 16_000, 16_000]);
    // two holds of quiet later it starts over
    let later = now.after(Nanos(2 * history.hold(&policy).0 + 1));
    assert_eq!(history.begun(later, &victim, &policy).hold(&policy), Nanos::from_millis(1000));
}

#[test]
fn without_bpf_pressure_begins_an_overlay_at_the_tick() {
    use model::sample::{Pressure, PressureLine};
    let mut web = shared(1, 500, Some(300));
    let some = PressureLine { avg10_pct: 30.0, ..PressureLine::default() };
    web.cpu_pressure = Some(Pressure { some, full: None });
    let mut node = snapshot(1, machine(1, 2, 1), vec![("web", web), ("ml", batch(2))]);
    let history = OverlayHistory::default();
    let begun = |node: &Snapshot| {
        let late = crate::plan::latest(node, &policy(), Lateness::Contended)?;
        begin_late(node.at, node.at, late, &history, &policy()).map(|(_, decision)| decision.rule)
    };
    assert_eq!(begun(&node), None);
    node.signal = model::snapshot::Signal::PressureOnly { why: "no BTF".to_owned() };
    assert_eq!(begun(&node), Some("suppress-begin-late"));
}
