//! Promises between ticks: who gets what, what later promises and the next Plans make of it, and when one is taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::knob::Knobs;
use model::ledger::Place;
use model::policy::Policy;
use model::qos::{CgroupPath, PodUid, QosLevel, WorkloadName};
use model::sample::{ContainerSample, ProbeSample, Sample, Source, WorkloadSample, WorkloadSpec};
use model::{CgroupId, MilliCpu, SlotId, Timestamp};

use crate::testkit::{cpus, machine};
use crate::turn::{Effects, Reserved, TurnState};

const OWN: QosLevel = QosLevel::DedicatedCores;
const WEB: QosLevel = QosLevel::SharedCores;
const BATCH: QosLevel = QosLevel::ReclaimedCores;

fn at(ms: u64) -> Timestamp {
    Timestamp(ms * 1_000_000)
}

fn spec(qos: QosLevel, milli: u64) -> WorkloadSpec {
    WorkloadSpec::plain(qos, MilliCpu(milli))
}

/// A pod with one container that holds `held`.
fn there(ms: u64, name: &str, spec: WorkloadSpec, held: &str) -> (WorkloadName, WorkloadSample) {
    let id = CgroupId(name.len() as u64);
    let cpuset = |set: &str| Knobs { cpuset_cpus: Some(cpus(set)), ..Knobs::default() };
    let container = ContainerSample {
        cgroup: CgroupPath::new(format!("/{name}/c")),
        cgroup_id: CgroupId(id.0 + 100),
        knobs: cpuset(held),
    };
    let sample = WorkloadSample {
        spec,
        cgroup: CgroupPath::new(format!("/{name}")),
        cgroup_id: id,
        slot: SlotId::UNTRACKED,
        at: at(ms),
        populated: true,
        cpu_stat: None,
        cpu_pressure: None,
        memory_current: None,
        seldom: Arc::default(),
        knobs: cpuset(""),
        containers: Some(Arc::from([container])),
        errors: Vec::new(),
    };
    (WorkloadName::from(name), sample)
}

/// A node of eight CPUs on one NUMA node.
fn sample(ms: u64, pods: Vec<(WorkloadName, WorkloadSample)>) -> Sample {
    let pods: BTreeMap<_, _> = pods.into_iter().collect();
    Sample {
        at: at(ms),
        topology: Source::fresh(at(ms), Arc::new(machine(1, 8, 1))),
        workloads: Source::fresh(at(ms), pods),
        probe: Source::fresh(at(ms), ProbeSample::default()),
        ..Sample::default()
    }
}

fn web(ms: u64) -> (WorkloadName, WorkloadSample) {
    there(ms, "web", spec(WEB, 1000), "")
}

/// A node with one shared pod, after its first tick.
fn node() -> TurnState {
    let mut turn = TurnState::new(Policy::default());
    turn.tick(at(1000), sample(1000, vec![web(1000)]));
    turn
}

fn reserve(turn: &mut TurnState, ms: u64, name: &str, spec: &WorkloadSpec) -> Reserved {
    turn.reserve(at(ms), &WorkloadName::from(name), spec).expect("there is a Plan")
}

fn own_of(turn: &TurnState, name: &str) -> Option<Place> {
    let plan = turn.plan().expect("planned");
    plan.ledger.pods.get(&PodUid::new(name)).map(|resident| resident.place)
}

fn slow(effects: &Effects) -> Vec<String> {
    effects.slow.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_is_promised_before_the_node_is_known() {
    let mut turn = TurnState::new(Policy::default());
    assert_eq!(turn.reserve(at(1), &"db".into(), &spec(OWN, 2000)), None);
    turn.tick(at(1000), Sample::default());
    assert_eq!(turn.reserve(at(1001), &"db".into(), &spec(OWN, 2000)), None);
}

#[test]
fn promises_do_not_meet_and_are_given_once() {
    let mut turn = node();
    let first = reserve(&mut turn, 1100, "a", &spec(OWN, 2000));
    let second = reserve(&mut turn, 1110, "b", &spec(OWN, 3000));
    assert_eq!((first.placement.cpus.len(), second.placement.cpus.len()), (2, 3));
    assert!(first.placement.cpus.is_disjoint(&second.placement.cpus));
    assert_eq!(first.decisions.len(), 1);
    // Its second container, and one that starts again.
    let again = reserve(&mut turn, 1120, "a", &spec(OWN, 2000));
    assert_eq!((again.placement, again.decisions.len()), (first.placement.clone(), 0));
    // A shared pod stays off what was promised, although the Plan in force knows nothing of it.
    let shared = reserve(&mut turn, 1130, "late", &spec(WEB, 500));
    let owned = first.placement.cpus.union(&second.placement.cpus);
    assert!(shared.placement.cpus.is_disjoint(&owned), "{shared:?}");
    assert!(!shared.placement.cpus.is_empty());
    let batch = reserve(&mut turn, 1140, "ml", &spec(BATCH, 0));
    assert!(batch.placement.cpus.is_disjoint(&owned), "{batch:?}");
}

#[test]
fn the_next_plan_keeps_a_promise_and_moves_the_others() {
    let mut turn = node();
    let db = reserve(&mut turn, 1100, "db", &spec(OWN, 2000)).placement.cpus;
    let effects = turn.tick(at(2000), sample(2000, vec![web(2000)]));
    let others = cpus("0-7").difference(&db);
    assert_eq!(slow(&effects), [format!("/web/c/cpuset.cpus = {others}  [pool]")]);
    // It is seen with what it was made with: nothing is written.
    let seen = there(3000, "db", spec(OWN, 2000), &db.to_string());
    let web = there(3000, "web", spec(WEB, 1000), &others.to_string());
    let effects = turn.tick(at(3000), sample(3000, vec![web, seen]));
    assert_eq!(slow(&effects), Vec::<String>::new());
    assert_eq!(turn.plan().expect("planned").ledger.reserved, BTreeMap::new());
    // Gone as everybody goes: at once.
    turn.tick(at(4000), sample(4000, vec![self::web(4000)]));
    assert_eq!(own_of(&turn, "db"), None);
}

#[test]
fn a_promise_to_one_who_never_comes_ends_after_a_minute() {
    let mut turn = node();
    reserve(&mut turn, 1100, "db", &spec(OWN, 2000));
    for (ms, is_kept) in [(2000, true), (61_000, true), (61_200, false), (62_000, false)] {
        turn.tick(at(ms), sample(ms, vec![web(ms)]));
        assert_eq!(own_of(&turn, "db").is_some(), is_kept, "at {ms} ms");
    }
}

#[test]
fn who_finds_no_place_is_told_why_and_runs_with_its_level() {
    let mut turn = node();
    let refused = reserve(&mut turn, 1100, "huge", &spec(OWN, 20_000));
    let why = refused.refused.expect("20 of 8 CPUs").to_string();
    assert!(why.contains("20"), "{why}");
    assert!(!refused.placement.cpus.is_empty());
    assert_eq!(own_of(&turn, "huge"), None);
}

/// A Plan that is being worked out gives the CPUs to another: the promise was given, the other one asks again.
#[test]
fn a_plan_that_breaks_a_promise_is_not_put_in_force() {
    let mut turn = node();
    let job = turn.begin(at(2000));
    let promised = reserve(&mut turn, 2010, "db", &spec(OWN, 4000)).placement.cpus;
    let other = there(2000, "other", spec(OWN, 4000), "");
    let planned = job.run(sample(2000, vec![web(2000), other]));
    let effects = turn.finish(at(2020), planned);
    assert!(effects.slow.is_empty(), "{effects:?}");
    assert_eq!(effects.findings.last().map(|finding| finding.rule), Some("plan-overtaken"));
    assert_eq!(own_of(&turn, "other"), None);
    // The next one knows the promise: the other pod has to do without.
    let other = there(3000, "other", spec(OWN, 4000), "");
    turn.tick(at(3000), sample(3000, vec![web(3000), other]));
    let plan = turn.plan().expect("planned");
    assert!(plan.workloads["other"].cpus.is_disjoint(&promised));
    assert!(own_of(&turn, "db").is_some());
}

#[test]
fn a_plan_that_keeps_a_promise_is_put_in_force_with_it() {
    let mut turn = node();
    let job = turn.begin(at(2000));
    reserve(&mut turn, 2010, "db", &spec(OWN, 2000));
    let batch = there(2000, "ml", spec(BATCH, 0), "");
    let planned = job.run(sample(2000, vec![web(2000), batch]));
    let effects = turn.finish(at(2020), planned);
    assert!(!effects.slow.is_empty());
    assert!(own_of(&turn, "db").is_some() && own_of(&turn, "ml").is_some());
}

#[test]
fn a_pod_that_comes_back_as_another_is_asked_anew() {
    let mut turn = node();
    let own = reserve(&mut turn, 1100, "db", &spec(OWN, 2000));
    let shared = reserve(&mut turn, 1200, "db", &spec(WEB, 500));
    assert_eq!((own.placement.pool.is_some(), own_of(&turn, "db")), (true, Some(Place::Pool)));
    assert_eq!(shared.decisions.len(), 1);
}

/// A kubelet with a CPU manager of its own gives CPUs away without asking: ours make room.
#[test]
fn what_a_kubelet_gives_is_its_own_and_whoever_owned_it_moves() {
    let mut turn = node();
    let db = reserve(&mut turn, 1100, "db", &spec(OWN, 2000)).placement.cpus;
    let given = WorkloadSpec { given: Some(db), ..spec(WEB, 2000) };
    let theirs = |ms| {
        let (name, sample) = there(ms, "static", given.clone(), "");
        (name, WorkloadSample { containers: Some(Arc::from([])), ..sample })
    };
    let ours = |ms| there(ms, "db", spec(OWN, 2000), &db.to_string());
    let effects = turn.tick(at(2000), sample(2000, vec![web(2000), theirs(2000), ours(2000)]));
    let plan = Arc::clone(turn.plan().expect("planned"));
    assert_eq!(plan.workloads["static"].cpus, db);
    let moved = plan.workloads["db"].cpus;
    assert!(moved.is_disjoint(&db) && moved.len() == 2, "{moved}");
    assert!(plan.workloads["web"].cpus.is_disjoint(&db.union(&moved)));
    assert!(slow(&effects).iter().all(|step| !step.starts_with("/static")), "{effects:?}");
    assert!(effects.decisions.iter().any(|decision| decision.rule == "given"));
    // Told once, and over when the kubelet takes it back.
    let effects = turn.tick(at(3000), sample(3000, vec![web(3000), theirs(3000)]));
    assert!(effects.decisions.iter().all(|decision| decision.rule != "given"), "{effects:?}");
    let taken_back = there(4000, "static", spec(WEB, 2000), "");
    turn.tick(at(4000), sample(4000, vec![web(4000), taken_back]));
    assert_eq!(own_of(&turn, "static"), Some(Place::Pool));
}
