//! Burst, memory nodes, memory files and `oom_score_adj` on the real kernel: written and read back, refused,
//! carried out by the actuator, and put back after the agent's death.

use std::fs;
use std::thread;
use std::time::Duration;

use actuator::exec::{Batch, carry_out};
use actuator::{HostFiles, restore};
use hostfs::{Cgroup, CgroupFile, CgroupTree, HostRoot, read_knob, write_knob};
use model::knob::{Knob, KnobValue, Lane, MemoryLimit, OomScoreAdj};
use model::plan::{Applied, FailureKind, Generation, Outcome, Phase, Step};
use model::policy::Mode;
use model::qos::CgroupPath;
use model::{Bytes, Micros, NumaSet, Timestamp};
use state::Originals;
use vmtest::{TestCgroup, wait_until};

use crate::agent_process::{Agent, LIMIT, Scene};
use crate::cgroup_knobs::{open, quota};
use crate::cgroup_refusals::{EACCES, EINVAL, ENOSPC, check};

fn burst(us: u64) -> KnobValue {
    KnobValue::CpuMaxBurst(Micros(us))
}

fn mems(list: &str) -> KnobValue {
    KnobValue::CpusetMems(NumaSet::parse(list).expect("a list of nodes"))
}

fn mebibytes(n: u64) -> MemoryLimit {
    MemoryLimit::at_most(Bytes(n << 20))
}

fn score(value: i16) -> KnobValue {
    KnobValue::OomScoreAdj(OomScoreAdj::new(value).expect("in range"))
}

/// The host's tree as the agent opens it, with its processes.
fn tree() -> CgroupTree {
    CgroupTree::open(&HostRoot::new("/"), &CgroupPath::from("/")).expect("cgroup v2")
}

fn path_of(group: &TestCgroup) -> CgroupPath {
    CgroupPath::new(format!("/{}", group.name().display()))
}

fn score_of(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("a process");
    text.trim().to_owned()
}

#[track_caller]
fn check_kept(cgroup: &Cgroup, value: KnobValue) {
    write_knob(cgroup, value).unwrap_or_else(|error| panic!("write {value}: {error:?}"));
    assert_eq!(read_knob(cgroup, value.knob()).expect("read"), value);
}

#[test]
fn smoke_cgroup_resources_are_written_and_read_back() {
    let group = TestCgroup::new("resources");
    let cgroup = open(&group);
    for value in [
        quota(20_000, 100_000),
        burst(0),
        burst(1),
        burst(20_000),
        mems("0"),
        mems("0-1"),
        mems(""),
        KnobValue::MemoryMax(mebibytes(64)),
        KnobValue::MemoryHigh(mebibytes(48)),
        KnobValue::MemoryLow(mebibytes(32)),
        KnobValue::MemoryMin(mebibytes(16)),
        KnobValue::MemoryMin(mebibytes(0)),
        KnobValue::MemoryLow(MemoryLimit::Max),
        KnobValue::MemoryHigh(MemoryLimit::Max),
        KnobValue::MemoryMax(MemoryLimit::Max),
    ] {
        check_kept(&cgroup, value);
    }
    let effective = cgroup.cpuset_mems_effective().expect("cpuset.mems.effective");
    assert_eq!(Some(effective), NumaSet::parse("0-1"), "an empty list inherits");
    // Beyond what the kernel counts is no limit: what `MemoryLimit::at_most` says in advance.
    let huge = KnobValue::MemoryMax(MemoryLimit::Bytes(Bytes(i64::MAX as u64)));
    write_knob(&cgroup, huge).expect("write");
    assert_eq!(cgroup.memory_max().expect("memory.max"), MemoryLimit::at_most(Bytes(u64::MAX)));
    // The kernel takes a protection that contradicts itself; only the lint of a Plan refuses it.
    check_kept(&cgroup, KnobValue::MemoryLow(mebibytes(1)));
    check_kept(&cgroup, KnobValue::MemoryMin(mebibytes(2)));
    check_kept(&cgroup, KnobValue::MemoryMax(mebibytes(4)));
    check_kept(&cgroup, KnobValue::MemoryHigh(mebibytes(8)));
}

/// The burst stays within a finite quota, whichever of the two is written; beside no quota any burst is taken, and
/// then the quota is refused.
#[test]
fn cgroup_resources_a_burst_and_a_quota_that_do_not_fit_are_einval() {
    let group = TestCgroup::new("burst");
    let cgroup = open(&group);
    write_knob(&cgroup, quota(20_000, 100_000)).expect("write");
    check(write_knob(&cgroup, burst(20_001)), FailureKind::Invalid, EINVAL);
    write_knob(&cgroup, burst(10_000)).expect("write");
    check(write_knob(&cgroup, quota(9_999, 100_000)), FailureKind::Invalid, EINVAL);
    assert_eq!(group.read("cpu.max"), "20000 100000", "nothing was taken");
    write_knob(&cgroup, quota(10_000, 100_000)).expect("just fits");
    write_knob(&cgroup, KnobValue::CpuMax(model::knob::CpuMax::UNLIMITED)).expect("write");
    write_knob(&cgroup, burst(500_000)).expect("beside no quota any burst is taken");
    check(write_knob(&cgroup, quota(20_000, 100_000)), FailureKind::Invalid, EINVAL);
    check(cgroup.write(CgroupFile::CpuMaxBurst, "some"), FailureKind::Invalid, EINVAL);
}

#[test]
fn cgroup_resources_memory_nodes_and_limits_that_cannot_be_are_refused() {
    let group = TestCgroup::new("nodes");
    let cgroup = open(&group);
    // A node without memory: the guest has two, each with some.
    check(write_knob(&cgroup, mems("2")), FailureKind::Invalid, EINVAL);
    check(write_knob(&cgroup, mems("0-2")), FailureKind::Invalid, EINVAL);
    for file in [
        CgroupFile::MemoryMin,
        CgroupFile::MemoryLow,
        CgroupFile::MemoryHigh,
        CgroupFile::MemoryMax,
    ] {
        check(cgroup.write(file, "-1"), FailureKind::Invalid, EINVAL);
        check(cgroup.write(file, "much"), FailureKind::Invalid, EINVAL);
    }
    write_knob(&cgroup, mems("1")).expect("write");
    let load = group.hold_memory(1);
    check(write_knob(&cgroup, mems("")), FailureKind::NoSpace, ENOSPC);
    assert_eq!(group.read("cpuset.mems"), "1", "nothing was taken");
    let score = format!("/proc/{}/oom_score_adj", load.pid());
    for value in ["1001", "-1001", "many"] {
        let error = fs::write(&score, value).expect_err(value);
        assert_eq!(error.raw_os_error(), Some(EINVAL), "{value}");
    }
}

#[test]
fn cgroup_resources_an_unprivileged_writer_is_denied() {
    let group = TestCgroup::new("resources-eacces");
    let load = group.hold_memory(1);
    let cgroup = tree().cgroup(&path_of(&group)).expect("open");
    thread::scope(|scope| {
        scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("become nobody");
            for value in [
                burst(0),
                mems("0"),
                KnobValue::MemoryMin(mebibytes(1)),
                KnobValue::MemoryLow(mebibytes(1)),
                KnobValue::MemoryHigh(mebibytes(64)),
                KnobValue::MemoryMax(mebibytes(64)),
                score(5),
            ] {
                check(write_knob(&cgroup, value), FailureKind::Denied, EACCES);
                read_knob(&cgroup, value.knob()).expect("reading is everybody's");
            }
        });
    });
    assert_eq!((group.read("memory.max").as_str(), score_of(load.pid()).as_str()), ("max", "0"));
}

/// Carries out values one after another with journals in `dir`, as the two lanes do.
fn carry(dir: &str, group: &TestCgroup, values: &[KnobValue]) -> Vec<Outcome> {
    fs::create_dir_all(dir).expect("a runtime directory");
    let mut outcomes = Vec::new();
    for lane in [Lane::Fast, Lane::Slow] {
        let mut originals = Originals::open(dir.as_ref(), lane).expect("journal");
        let steps = values.iter().filter(|value| value.knob().lane() == lane);
        let steps = steps.map(|value| Step {
            generation: Generation(1),
            workload: "w".into(),
            cgroup: path_of(group),
            value: *value,
            phase: Phase::Take,
            rule: "test",
        });
        let batch =
            Batch { generation: Generation(1), mode: Mode::Enforce, steps: steps.collect() };
        let mut files = HostFiles::new(tree());
        let mut report = |outcome| outcomes.push(outcome);
        let clock = || Timestamp(5);
        carry_out(&mut files, &mut originals, batch, &clock, &mut || false, &mut report);
    }
    outcomes
}

#[track_caller]
fn all_written(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(outcome.result, Ok(Applied::Written), "{}", outcome.step);
    }
}

const FILES: [&str; 7] = [
    "cpu.max",
    "cpu.max.burst",
    "cpuset.mems.effective",
    "memory.min",
    "memory.low",
    "memory.high",
    "memory.max",
];

/// An actuator wrote every kind; the agent whose runtime directory has its journals is killed, and its watchdog
/// finds them.
#[test]
fn smoke_cgroup_resources_are_put_back_after_the_agents_death() {
    let scene = Scene::new("resources-back", 1);
    let pod = &scene.pods[0];
    for (file, value) in [
        ("cpu.max", "20000 100000"),
        ("cpu.max.burst", "10000"),
        ("memory.low", "1048576"),
        ("memory.max", "1073741824"),
    ] {
        pod.write(file, value);
    }
    let load = pod.hold_memory(1);
    fs::write(format!("/proc/{}/oom_score_adj", load.pid()), "300").expect("a score");
    let read = || -> Vec<String> {
        let files = FILES.iter().map(|file| format!("{file} {}", pod.read(file)));
        files.chain([score_of(load.pid())]).collect()
    };
    let before = read();
    let values = [
        quota(90_000, 100_000),
        burst(80_000),
        mems("1"),
        KnobValue::MemoryMin(mebibytes(1)),
        KnobValue::MemoryLow(mebibytes(2)),
        KnobValue::MemoryHigh(mebibytes(400)),
        KnobValue::MemoryMax(mebibytes(500)),
        score(700),
    ];
    let dir = "/run/berth-resources-back";
    let _absent = fs::remove_dir_all(dir);
    let outcomes = carry(dir, pod, &values);
    assert_eq!(outcomes.len(), values.len());
    all_written(&outcomes);
    let written = read();
    assert!(written.iter().zip(&before).all(|(now, then)| now != then), "{written:?}");
    let mut agent = Agent::spawn(&scene, &scene.config("observe", ""));
    agent.wait_for_socket();
    agent.kill();
    wait_until("everything to be put back", LIMIT, || read() == before);
}

/// Two containers of a pod with scores of their own, and a process that comes later.
#[test]
fn cgroup_resources_scores_reach_all_groups_below_and_come_back_one_by_one() {
    let pod = TestCgroup::new("scores");
    let (app, pause) = (pod.child("app"), pod.child("pause"));
    let loads = [app.hold_memory(1), app.hold_memory(1), pause.hold_memory(1)];
    fs::write(format!("/proc/{}/oom_score_adj", loads[2].pid()), "-998").expect("a score");
    let scores = |loads: &[vmtest::Load]| -> Vec<String> {
        loads.iter().map(|load| score_of(load.pid())).collect()
    };
    let dir = "/run/berth-scores";
    let _absent = fs::remove_dir_all(dir);
    all_written(&carry(dir, &pod, &[score(800)]));
    assert_eq!(scores(&loads), ["800", "800", "800"]);
    let cgroup = tree().cgroup(&path_of(&pod)).expect("open");
    assert_eq!(read_knob(&cgroup, Knob::OomScoreAdj).expect("read"), score(800));
    // A new container has the score its runtime gave it: seen, and written in the next turn.
    let late = pod.child("late");
    let newcomer = late.hold_memory(1);
    let mixed = read_knob(&cgroup, Knob::OomScoreAdj).expect("read");
    assert_eq!(mixed.to_string(), "0..800");
    all_written(&carry(dir, &pod, &[score(800)]));
    assert_eq!(score_of(newcomer.pid()), "800");
    let mut originals = Originals::open(dir.as_ref(), Lane::Slow).expect("journal");
    let restored = restore(&mut HostFiles::new(tree()), &mut originals);
    assert_eq!(restored.failures, []);
    assert_eq!(
        (scores(&loads), score_of(newcomer.pid())),
        (vec!["0".to_owned(), "0".to_owned(), "-998".to_owned()], "0".to_owned())
    );
    // Nobody is there to have one.
    let empty = TestCgroup::new("scores-empty");
    let outcomes = carry(dir, &empty, &[score(800)]);
    let failure = outcomes[0].result.as_ref().expect_err("no process");
    assert_eq!(failure.kind, FailureKind::Unsupported);
}

/// 32 MiB that cannot be reclaimed (the guest has no swap) under a limit of 16: the high limit goes first and cannot
/// help, so the write of `memory.max` says that it was below, and the kernel kills.
#[test]
fn cgroup_resources_a_memory_max_below_use_is_told() {
    let group = TestCgroup::new("below-use");
    let load = group.hold_memory(32);
    let dir = "/run/berth-below-use";
    let _absent = fs::remove_dir_all(dir);
    let above = carry(dir, &group, &[KnobValue::MemoryMax(mebibytes(64))]);
    all_written(&above);
    let limits = [KnobValue::MemoryHigh(mebibytes(16)), KnobValue::MemoryMax(mebibytes(16))];
    let outcomes = carry(dir, &group, &limits);
    assert_eq!(outcomes[0].result, Ok(Applied::Written));
    match outcomes[1].result {
        Ok(Applied::WrittenBelowUse { in_use }) => assert!(in_use >= Bytes(32 << 20), "{in_use}"),
        ref other => panic!("not told: {other:?}"),
    }
    wait_until("the kernel to kill", Duration::from_secs(30), || {
        group.read_key("memory.events", "oom_kill") >= 1
    });
    drop(load);
}

/// What a group has on each node, against where it may have memory and how much it has in sum. Counters
/// of each CPU are handed in late: a few MiB.
#[test]
fn smoke_cgroup_resources_memory_is_told_by_node() {
    let group = TestCgroup::new("by-node");
    group.write("cpuset.mems", "1");
    let _load = group.hold_memory(32);
    let cgroup = tree().cgroup(&path_of(&group)).expect("open");
    let nodes = cgroup.memory_numa_stat().expect("a kernel with NUMA");
    let on = |id: u16| nodes[&model::NumaNodeId(id)].total().0 >> 20;
    assert_eq!(nodes.len(), 2, "the guest has two nodes");
    assert!((32..=36).contains(&on(1)) && on(0) <= 2, "{nodes:?}");
    let current = cgroup.memory_current().expect("read").0 >> 20;
    assert!(current.abs_diff(on(0) + on(1)) <= 4, "{current} MiB in sum, {nodes:?}");
}
