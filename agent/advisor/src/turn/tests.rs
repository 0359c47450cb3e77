//! What the loop owes its actuators: growing generations, no hot loops, silence when nothing
//! changed. Longer stories are `sim`'s scenarios.

use std::collections::BTreeMap;

use model::knob::{CpuMax, CpuWeight, Knob, Knobs};
use model::plan::{Applied, FailureKind, StepFailure};
use model::policy::Policy;
use model::qos::{CgroupPath, QosLevel};
use model::sample::{ProbeSample, Source, WorkloadSample, WorkloadSpec};
use model::{CgroupId, CpuId, CpuSet, MilliCpu, Nanos};

use super::*;
use crate::testkit::*;

fn at(ms: u64) -> Timestamp {
    Timestamp(ms * 1_000_000)
}

fn read(ms: u64, slot: u16, qos: QosLevel) -> WorkloadSample {
    WorkloadSample {
        spec: WorkloadSpec::plain(qos, MilliCpu(500)),
        cgroup: CgroupPath::new(format!("/{slot}")),
        cgroup_id: CgroupId(u64::from(slot)),
        slot: SlotId(slot),
        at: at(ms),
        populated: true,
        cpu_stat: None,
        cpu_pressure: None,
        memory_current: None,
        seldom: std::sync::Arc::default(),
        knobs: Knobs {
            cpu_idle: Some(false),
            cpu_weight: Some(CpuWeight::DEFAULT),
            cpu_max: Some(CpuMax::UNLIMITED),
            cpuset_cpus: Some(CpuSet::EMPTY),
            ..Knobs::default()
        },
        containers: None,
        errors: Vec::new(),
    }
}

/// `web` in slot 1, `ml` in slot 2, with files as a fresh cgroup has them.
fn sample(ms: u64) -> Sample {
    let web = read(ms, 1, QosLevel::SharedCores);
    let ml = read(ms, 2, QosLevel::ReclaimedCores);
    let workloads = BTreeMap::from([("web".into(), web), ("ml".into(), ml)]);
    Sample {
        at: at(ms),
        topology: Source::fresh(at(ms), Arc::new(machine(1, 4, 1))),
        workloads: Source::fresh(at(ms), workloads),
        probe: Source::fresh(at(ms), ProbeSample::default()),
        ..Sample::default()
    }
}

fn burst(ms: u64, victim: u16) -> Burst {
    Burst {
        victim: SlotId(victim),
        cpu: CpuId(0),
        first_wait_at: at(ms),
        wait: Nanos::from_millis(5),
        offender: SlotId(2),
    }
}

fn answer(turn: &mut TurnState, ms: u64, steps: &[Step], result: Result<Applied, FailureKind>) {
    for step in steps {
        let result = result.clone().map_err(|kind| StepFailure {
            kind,
            errno: None,
            message: "refused".to_owned(),
        });
        let step = step.clone();
        turn.outcome(&Outcome { step, result, finished_at: at(ms), took: Nanos(0) });
    }
}

fn hold_of_a_second() -> Policy {
    let mut policy = Policy::default();
    policy.suppression.hold = Nanos::from_millis(1000);
    policy
}

fn all(effects: &Effects) -> Vec<Step> {
    effects.fast.iter().chain(&effects.slow).cloned().collect()
}

#[test]
fn generations_grow_over_ticks_and_bursts() {
    let mut turn = TurnState::new(hold_of_a_second());
    let mut seen = Vec::new();
    let mut note = |effects: &Effects| seen.extend(all(effects).first().map(|s| s.generation));
    note(&turn.tick(at(1000), sample(1000)));
    note(&turn.burst(at(1100), &burst(1100, 1)));
    note(&turn.expire(at(2100)));
    // Long enough for the Outcomes of the first tick to be overdue: its Steps come again.
    note(&turn.tick(at(12_000), sample(12_000)));
    assert_eq!(seen.len(), 4);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert!(turn.plan().expect("planned").generation <= seen[3]);
}

#[test]
fn a_burst_is_answered_once_and_only_for_slots_we_know() {
    let mut turn = TurnState::new(hold_of_a_second());
    assert_eq!(turn.burst(at(10), &burst(10, 1)), Effects::default());
    let first = turn.tick(at(1000), sample(1000));
    answer(&mut turn, 1001, &all(&first), Ok(Applied::Written));
    assert_eq!(turn.burst(at(1100), &burst(1100, 77)), Effects::default());
    let begun = turn.burst(at(1100), &burst(1100, 1));
    let lines: Vec<String> = begun.fast.iter().map(|step| step.to_string()).collect();
    assert_eq!(lines, ["/2/cpu.idle = 1  [suppress]"]);
    assert_eq!((begun.slow.len(), begun.next_deadline), (0, Some(at(2100))));
    // while more than half of the hold is left, records change nothing and leave no decision
    for ms in [1101, 1599] {
        let early = turn.burst(at(ms), &burst(ms, 1));
        assert_eq!(early, Effects { next_deadline: Some(at(2100)), ..Effects::default() });
    }
    // later ones renew, and write nothing
    let renewed = turn.burst(at(1600), &burst(1600, 1));
    let rules: Vec<&str> = renewed.decisions.iter().map(|decision| decision.rule).collect();
    assert_eq!((rules, renewed.fast.len()), (vec!["suppress-renew"], 0));
    assert_eq!(renewed.next_deadline, Some(at(2600)));
    // too early a deadline does nothing
    assert_eq!(turn.expire(at(2000)).fast, vec![]);
    // an Outcome that never came: after two seconds the Steps are believed lost
    let again = turn.burst(at(3200), &burst(3200, 1));
    assert_eq!(again.fast.len(), 1);
}

#[test]
fn observe_mode_repeats_nothing_and_blames_nobody() {
    let mut turn = TurnState::new(Policy::default());
    let first = turn.tick(at(1000), sample(1000));
    assert!(!first.fast.is_empty() && !first.slow.is_empty());
    answer(&mut turn, 1001, &all(&first), Ok(Applied::DryRun));
    let second = turn.tick(at(2000), sample(2000));
    assert_eq!((all(&second), second.findings, second.decisions), (vec![], vec![], vec![]));
}

#[test]
fn a_vanished_cgroup_is_left_alone_until_it_is_seen_again() {
    let mut turn = TurnState::new(Policy::default());
    let first = turn.tick(at(1000), sample(1000));
    answer(&mut turn, 1500, &all(&first), Err(FailureKind::Vanished));
    // a Sample read before it vanished proves nothing
    assert_eq!(all(&turn.tick(at(1600), sample(1400))), vec![]);
    assert!(!all(&turn.tick(at(2600), sample(2600))).is_empty());
}

/// Refuses every write of one file with `kind` for 70 s, a tick each: the seconds in which it was tried.
#[track_caller]
fn tried(knob: Knob, kind: FailureKind) -> (Vec<u64>, Vec<Finding>) {
    let mut turn = TurnState::new(Policy::default());
    let (mut tried, mut findings) = (Vec::new(), Vec::new());
    for second in 1..=70 {
        let effects = turn.tick(at(second * 1000), sample(second * 1000));
        findings.extend(effects.findings.iter().cloned());
        let of_this = |step: &&Step| step.knob() == knob && step.cgroup.as_str() == "/2";
        let (mine, others): (Vec<Step>, Vec<Step>) =
            all(&effects).into_iter().partition(|step| of_this(&step));
        if !mine.is_empty() {
            tried.push(second);
        }
        answer(&mut turn, second * 1000, &mine, Err(kind));
        answer(&mut turn, second * 1000, &others, Ok(Applied::DryRun));
    }
    (tried, findings)
}

/// The next step of each refusal on each file that the advisor writes to batch work.
#[test]
fn a_refused_file_is_tried_again_as_its_refusal_deserves() {
    let every_second: Vec<u64> = (1..=70).collect();
    let ever_more_rarely = vec![1, 2, 4, 8, 16, 32, 64];
    // `cpu.idle` is written by an overlay only, which no tick of this test begins.
    for knob in [Knob::CpuWeight, Knob::CpuMax, Knob::CpusetCpus] {
        for (kind, seconds, rule) in [
            (FailureKind::Busy, &every_second, "step-busy"),
            (FailureKind::Invalid, &ever_more_rarely, "step-refused"),
            (FailureKind::NoSpace, &ever_more_rarely, "step-refused"),
            (FailureKind::Denied, &ever_more_rarely, "step-refused"),
            (FailureKind::Other, &ever_more_rarely, "step-refused"),
        ] {
            let (tried, findings) = tried(knob, kind);
            assert_eq!(&tried, seconds, "{knob:?} {kind:?}");
            // The last refusal may still wait for the tick that tells it.
            let told = findings.iter().filter(|finding| finding.rule == rule).count();
            assert!(told + 1 >= tried.len() && told <= tried.len(), "{knob:?} {kind:?}: {told}");
        }
    }
}

#[test]
fn a_refused_suppression_is_tried_again_at_the_next_burst_or_later() {
    for (kind, again) in [(FailureKind::Busy, true), (FailureKind::Denied, false)] {
        let mut turn = TurnState::new(hold_of_a_second());
        let first = turn.tick(at(1000), sample(1000));
        answer(&mut turn, 1001, &all(&first), Ok(Applied::Written));
        let begun = turn.burst(at(1100), &burst(1100, 1));
        answer(&mut turn, 1101, &begun.fast, Err(kind));
        let soon = turn.burst(at(1700), &burst(1700, 1));
        assert_eq!(!soon.fast.is_empty(), again, "{kind:?}: {soon:?}");
        answer(&mut turn, 1701, &soon.fast, Err(kind));
        let later = turn.burst(at(2300), &burst(2300, 1));
        assert!(later.fast.iter().any(|step| step.knob() == Knob::CpuIdle), "{kind:?}: {later:?}");
    }
}

#[test]
fn without_a_topology_nothing_is_planned() {
    let mut turn = TurnState::new(Policy::default());
    let effects = turn.tick(at(1000), Sample::default());
    assert_eq!(effects.findings[0].rule, "no-snapshot");
    assert!(turn.plan().is_none() && all(&effects).is_empty());
}

#[test]
fn a_restart_goes_on_from_the_checkpoint() {
    let mut turn = TurnState::new(Policy::default());
    turn.tick(at(1000), sample(1000));
    let plan = turn.plan().map(|plan| Plan::clone(plan));
    let mut again = TurnState::restored(Policy::default(), plan.clone());
    assert_eq!(again.plan().map(|plan| Plan::clone(plan)), plan);
    let steps = all(&again.tick(at(2000), sample(2000)));
    let newest = plan.map(|plan| plan.generation);
    assert!(again.plan().map(|plan| plan.generation) > newest);
    assert!(steps.first().map(|step| step.generation) > newest, "{steps:?}");
}

/// A batch of a thousand cpusets lasts many ticks; each tick that gave it out anew would cost the
/// loop a thousand Outcomes of the batch before.
#[test]
fn slow_steps_under_way_are_left_alone_until_something_else_is_wished() {
    let mut turn = TurnState::new(Policy::default());
    let first = turn.tick(at(1000), sample(1000)).slow;
    assert!(!first.is_empty());
    assert_eq!(turn.tick(at(2000), sample(2000)).slow, [], "still under way");
    // A third workload is found: the whole batch comes again, with it.
    let mut more = sample(3000);
    let workloads = more.workloads.latest.as_mut().expect("read");
    workloads.value.insert("db".into(), read(3000, 3, QosLevel::SharedCores));
    let second = turn.tick(at(3000), more.clone()).slow;
    assert_eq!(second.len(), first.len() + 1);
    // What came of the first batch says nothing about the second.
    for step in first {
        let (finished_at, took) = (at(3100), Nanos(0));
        turn.outcome(&Outcome { step, result: Ok(Applied::Superseded), finished_at, took });
    }
    more.at = at(4000);
    assert_eq!(turn.tick(at(4000), more).slow, []);
}
