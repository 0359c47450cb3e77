//! Batches against a tree that refuses: phases, generations, originals, every kind of refusal.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use model::knob::{CpuMax, CpuWeight, Knob, KnobValue, Lane, MemoryLimit, OomScoreAdj};
use model::plan::{Applied, FailureKind, Generation, Outcome, Phase, Step};
use model::policy::Mode;
use model::qos::{CgroupPath, WorkloadName};
use model::{Bytes, CpuSet, Micros, NumaSet, Timestamp};
use state::Originals;

use super::{Batch, carry_out};
use crate::fake::FakeFiles;
use crate::restore::restore;

fn step(cgroup: &str, value: KnobValue, phase: Phase) -> Step {
    Step {
        generation: Generation(1),
        workload: WorkloadName::from(cgroup),
        cgroup: CgroupPath::from(cgroup),
        value,
        phase,
        rule: "test",
    }
}

fn idle(cgroup: &str, phase: Phase) -> Step {
    step(cgroup, KnobValue::CpuIdle(true), phase)
}

fn cpus(cgroup: &str, list: &str, phase: Phase) -> Step {
    step(cgroup, KnobValue::CpusetCpus(list.parse::<CpuSet>().expect(list)), phase)
}

fn run(
    files: &mut FakeFiles,
    journal: &mut Originals,
    mode: Mode,
    steps: Vec<Step>,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let batch = Batch { generation: Generation(1), mode, steps };
    let mut report = |outcome| outcomes.push(outcome);
    carry_out(files, journal, batch, &|| Timestamp(5), &mut || false, &mut report);
    outcomes
}

fn kinds(outcomes: &[Outcome]) -> Vec<String> {
    let text = |outcome: &Outcome| match &outcome.result {
        Ok(applied) => format!("{applied:?}"),
        Err(failure) => format!("{:?}", failure.kind),
    };
    outcomes.iter().map(text).collect()
}

fn journal(dir: &tempfile::TempDir) -> Originals {
    Originals::open(dir.path(), Lane::Fast).expect("journal")
}

/// What a kernel can answer to a write. Which of them a real one gives on which file is tried in the VM
/// (`cgroup_refusals`, `knob_refusals`): EBUSY and ENOSPC on cpusets alone, EINVAL and EACCES on each.
const REFUSALS: [(FailureKind, i32); 5] = [
    (FailureKind::Busy, 16),
    (FailureKind::Invalid, 22),
    (FailureKind::NoSpace, 28),
    (FailureKind::Denied, 13),
    (FailureKind::Other, 5),
];

fn mebibytes(n: u64) -> MemoryLimit {
    MemoryLimit::at_most(Bytes(n << 20))
}

fn score(value: i16) -> KnobValue {
    KnobValue::OomScoreAdj(OomScoreAdj::new(value).expect("in range"))
}

fn any_value(cgroup: &str, knob: Knob, phase: Phase) -> Step {
    let value = match knob {
        Knob::CpuIdle => KnobValue::CpuIdle(true),
        Knob::CpuWeight => KnobValue::CpuWeight(CpuWeight::MIN),
        Knob::CpuMax => {
            KnobValue::CpuMax(CpuMax { quota: Some(Micros(2000)), period: CpuMax::PERIOD })
        }
        Knob::CpuMaxBurst => KnobValue::CpuMaxBurst(Micros(1000)),
        Knob::CpusetCpus => KnobValue::CpusetCpus("1".parse().expect("a CPU list")),
        Knob::CpusetMems => KnobValue::CpusetMems(NumaSet::parse("1").expect("a node list")),
        Knob::MemoryMin => KnobValue::MemoryMin(mebibytes(1)),
        Knob::MemoryLow => KnobValue::MemoryLow(mebibytes(2)),
        Knob::MemoryHigh => KnobValue::MemoryHigh(mebibytes(3)),
        Knob::MemoryMax => KnobValue::MemoryMax(mebibytes(4)),
        Knob::OomScoreAdj => score(500),
    };
    step(cgroup, value, phase)
}

/// Each file with each refusal: the kind and the errno arrive, the other Takes go on, no Give is tried, and a
/// restoration does not stumble over the file that was never written.
#[test]
fn each_refusal_on_each_file_is_told_and_survived() {
    for knob in Knob::ALL {
        for (kind, errno) in REFUSALS {
            let dir = tempfile::tempdir().expect("temp dir");
            let mut files = FakeFiles::with(&["/a", "/b", "/c"]);
            let before = files.files.clone();
            files.refuse.insert((CgroupPath::from("/a"), knob), (kind, errno));
            let steps = vec![
                any_value("/a", knob, Phase::Take),
                any_value("/b", knob, Phase::Take),
                any_value("/c", knob, Phase::Give),
            ];
            let mut journal = journal(&dir);
            let outcomes = run(&mut files, &mut journal, Mode::Enforce, steps);
            assert_eq!(kinds(&outcomes), [&*format!("{kind:?}"), "Written", "Held"], "{knob:?}");
            let told = outcomes[0].result.as_ref().expect_err("refused");
            assert_eq!((told.errno, files.log.len()), (Some(errno), 1), "{knob:?}");
            assert_eq!(restore(&mut files, &mut journal).failures, vec![], "{knob:?} {kind:?}");
            assert_eq!(files.files, before, "{knob:?} {kind:?}");
        }
    }
}

/// A file that does not exist or a cgroup that is gone holds nobody back.
#[test]
fn a_give_is_tried_after_a_refusal_that_took_nothing() {
    for (kind, errno) in [(FailureKind::Unsupported, 95), (FailureKind::Vanished, 19)] {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut files = FakeFiles::with(&["/a", "/c"]);
        files.refuse.insert((CgroupPath::from("/a"), Knob::CpuIdle), (kind, errno));
        let steps = vec![idle("/a", Phase::Take), cpus("/c", "0-3", Phase::Give)];
        let outcomes = run(&mut files, &mut journal(&dir), Mode::Enforce, steps);
        assert_eq!(kinds(&outcomes), [&*format!("{kind:?}"), "Written"]);
    }
}

#[test]
fn a_cgroup_that_vanished_stops_nobody() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/b"]);
    let steps = vec![idle("/gone", Phase::Take), idle("/b", Phase::Take), idle("/b", Phase::Give)];
    let outcomes = run(&mut files, &mut journal(&dir), Mode::Enforce, steps);
    assert_eq!(kinds(&outcomes), ["Vanished", "Written", "Written"]);
}

#[test]
fn a_write_that_changed_nothing_is_a_mismatch() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a"]);
    files.ignore_writes = true;
    let outcomes =
        run(&mut files, &mut journal(&dir), Mode::Enforce, vec![cpus("/a", "2-3", Phase::Take)]);
    assert_eq!(kinds(&outcomes), ["Mismatch"]);
}

#[test]
fn a_cpuset_that_stands_is_not_written_again() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a"]);
    let steps = vec![cpus("/a", "2-3", Phase::Take), cpus("/a", "2-3", Phase::Take)];
    let outcomes = run(&mut files, &mut journal(&dir), Mode::Enforce, steps);
    assert_eq!(kinds(&outcomes), ["Written", "AlreadyThere"]);
    assert_eq!(files.log.len(), 1);
}

#[test]
fn observe_writes_nothing_and_keeps_no_originals() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a"]);
    let mut journal = journal(&dir);
    let outcomes = run(&mut files, &mut journal, Mode::Observe, vec![idle("/a", Phase::Take)]);
    assert_eq!(outcomes[0].result, Ok(Applied::DryRun));
    assert!(files.log.is_empty() && journal.is_empty());
}

#[test]
fn a_newer_batch_ends_this_one_between_two_steps() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a", "/b"]);
    let asked = Cell::new(0);
    let mut newer = || asked.replace(asked.get() + 1) >= 1;
    let steps = vec![idle("/a", Phase::Take), idle("/b", Phase::Take)];
    let batch = Batch { generation: Generation(1), mode: Mode::Enforce, steps };
    let mut outcomes = Vec::new();
    let mut report = |outcome| outcomes.push(outcome);
    carry_out(&mut files, &mut journal(&dir), batch, &|| Timestamp(5), &mut newer, &mut report);
    assert_eq!(kinds(&outcomes), ["Written", "Superseded"]);
}

#[test]
fn killed_before_any_write_of_ten_everything_can_be_put_back() {
    let cgroups: Vec<String> = (0..5).map(|n| format!("/pod-{n}")).collect();
    let names: Vec<&str> = cgroups.iter().map(String::as_str).collect();
    for killed_before in 0..=10 {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut files = FakeFiles::with(&names);
        let before = files.files.clone();
        files.die_after_writes = Some(killed_before);
        let mut steps: Vec<Step> = names.iter().map(|name| idle(name, Phase::Take)).collect();
        steps.extend(names.iter().map(|name| cpus(name, "1", Phase::Give)));
        let mut fresh = journal(&dir);
        let act = || run(&mut files, &mut fresh, Mode::Enforce, steps);
        let died = catch_unwind(AssertUnwindSafe(act)).is_err();
        assert_eq!(died, killed_before < 10);
        drop(fresh);

        files.die_after_writes = None;
        let mut left = journal(&dir);
        let restored = restore(&mut files, &mut left);
        assert_eq!(restored.failures, vec![]);
        assert_eq!(files.files, before, "killed before write {killed_before}");
        assert!(left.is_empty());
    }
}

#[test]
fn the_original_survives_many_writes_and_weights_come_back_from_idle_groups() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a"]);
    let before = files.files.clone();
    let weight = CpuWeight::new(7).expect("weight");
    let steps = vec![
        step("/a", KnobValue::CpuWeight(weight), Phase::Take),
        step("/a", KnobValue::CpuWeight(CpuWeight::MIN), Phase::Take),
        idle("/a", Phase::Take),
    ];
    let mut journal = journal(&dir);
    run(&mut files, &mut journal, Mode::Enforce, steps);
    assert_eq!(restore(&mut files, &mut journal).failures, vec![]);
    assert_eq!(files.files, before);
}

/// A burst right after the change to enforce mode, before originals were recorded ahead of time: the
/// weight was then recorded as the 0 that an idle group shows, and that cannot be written back.
#[test]
fn the_weight_is_recorded_before_cpu_idle_hides_it() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (mut files, mut journal) = (FakeFiles::with(&["/a"]), journal(&dir));
    let weight = (CgroupPath::from("/a"), Knob::CpuWeight);
    files.files.insert(weight.clone(), "300".to_owned());
    let letting_go = |value| step("/a", value, Phase::Give);
    run(&mut files, &mut journal, Mode::Enforce, vec![idle("/a", Phase::Take)]);
    let steps = vec![
        letting_go(KnobValue::CpuIdle(false)),
        letting_go(KnobValue::CpuWeight(CpuWeight::new(1).expect("a weight"))),
    ];
    run(&mut files, &mut journal, Mode::Enforce, steps);
    assert_eq!(restore(&mut files, &mut journal).failures, []);
    assert_eq!(files.files[&weight], "300");
}

/// The group is killed for less: whoever lowers the limit below what is in use hears of it.
#[test]
fn a_memory_max_below_use_is_told() {
    let max = |limit| vec![step("/a", KnobValue::MemoryMax(limit), Phase::Take)];
    for (in_use, limit, expect) in [
        (4 << 20, mebibytes(4), "Written"),
        ((4 << 20) + 1, mebibytes(4), "WrittenBelowUse { in_use: Bytes(4194305) }"),
        (u64::MAX, MemoryLimit::Max, "AlreadyThere"),
    ] {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut files = FakeFiles { in_use, ..FakeFiles::with(&["/a"]) };
        let outcomes = run(&mut files, &mut journal(&dir), Mode::Enforce, max(limit));
        assert_eq!(kinds(&outcomes), [expect]);
    }
}

/// A pod whose containers got different scores from their runtime: each gets its own back.
#[test]
fn scores_are_kept_for_each_group_with_processes() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/pod", "/pod/pause", "/pod/app", "/pod/gone"]);
    let below = ["/pod/pause", "/pod/app", "/pod/gone"].map(CgroupPath::from);
    files.files.insert((below[0].clone(), Knob::OomScoreAdj), "-998".to_owned());
    files.ids.remove(&below[2]);
    files.below.insert(CgroupPath::from("/pod"), below.to_vec());
    let before = files.files.clone();
    let mut journal = journal(&dir);
    let steps = || vec![step("/pod", score(900), Phase::Take)];
    let outcomes = run(&mut files, &mut journal, Mode::Enforce, steps());
    assert_eq!(kinds(&outcomes), ["Written"]);
    assert_eq!(files.log, ["/pod/pause/oom_score_adj=900", "/pod/app/oom_score_adj=900"]);
    let outcomes = run(&mut files, &mut journal, Mode::Enforce, steps());
    assert_eq!(kinds(&outcomes), ["AlreadyThere"]);
    assert_eq!(restore(&mut files, &mut journal).failures, vec![]);
    assert_eq!(files.files, before);
}

#[test]
fn scores_of_a_group_without_processes_hold_nobody_back() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a"]);
    files.below.insert(CgroupPath::from("/a"), Vec::new());
    let steps = vec![step("/a", score(900), Phase::Take), cpus("/a", "0-3", Phase::Give)];
    let outcomes = run(&mut files, &mut journal(&dir), Mode::Enforce, steps);
    assert_eq!(kinds(&outcomes), ["Unsupported", "Written"]);
}
