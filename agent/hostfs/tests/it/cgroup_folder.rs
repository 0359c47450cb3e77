//! Folders of plain files that look like cgroups: everything but the kernel's own opinions.

use std::path::PathBuf;

use hostfs::cgroup::parse::{Events, MemoryLimit};
use hostfs::cgroup::read::{PressureOf, read_knobs_noting};
use hostfs::{
    Cgroup, CgroupFile, CgroupTree, ReadError, WriteError, read_knob, read_knobs, write_knob,
};
use model::knob::{CpuMax, CpuWeight, Knob, KnobValue, OomScoreAdj};
use model::plan::FailureKind;
use model::qos::CgroupPath;
use model::{Bytes, CpuSet, Micros, NumaSet};

struct Folder {
    _dir: tempfile::TempDir,
    path: PathBuf,
    cgroup: Cgroup,
}

impl Folder {
    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path.join(file), text).expect("write");
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path.join(file)).expect("read")
    }
}

/// A group `/pods/a` with an empty `cgroup.procs` (a folder without one counts as removed).
fn folder(files: &[(&str, &str)]) -> Folder {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("pods/a");
    std::fs::create_dir_all(&path).expect("make group");
    for (file, text) in [("cgroup.procs", "")].iter().chain(files) {
        std::fs::write(path.join(file), text).expect("write");
    }
    let cgroup =
        CgroupTree::at(dir.path()).cgroup(&CgroupPath::from("/pods/a")).expect("open group");
    Folder { _dir: dir, path, cgroup }
}

const KNOBS: [(&str, &str); 11] = [
    ("cpu.idle", "0\n"),
    ("cpu.weight", "100\n"),
    ("cpu.max", "max 100000\n"),
    ("cpuset.cpus", "\n"),
    ("cpuset.cpus.effective", "0-7\n"),
    ("cpu.max.burst", "0\n"),
    ("cpuset.mems", "\n"),
    ("memory.min", "0\n"),
    ("memory.low", "0\n"),
    ("memory.high", "max\n"),
    ("memory.max", "max\n"),
];

fn cpus(list: &str) -> CpuSet {
    list.parse().expect("list")
}

#[test]
fn every_knob_is_written_and_read_back() {
    let folder = folder(&KNOBS);
    let quota = CpuMax { quota: Some(Micros(5000)), period: Micros(100_000) };
    for (value, text) in [
        (KnobValue::CpuWeight(CpuWeight::new(10_000).expect("in range")), "10000"),
        (KnobValue::CpuWeight(CpuWeight::MIN), "1"),
        (KnobValue::CpuMax(CpuMax::UNLIMITED), "max 100000"),
        (KnobValue::CpuMax(quota), "5000 100000"),
        (KnobValue::CpusetCpus(cpus("0-3,6")), "0-3,6"),
        (KnobValue::CpusetCpus(CpuSet::EMPTY), "\n"),
        (KnobValue::CpuIdle(true), "1"),
        (KnobValue::CpuMaxBurst(Micros(2500)), "2500"),
        (KnobValue::CpusetMems(NumaSet::parse("0-1").expect("nodes")), "0-1"),
        (KnobValue::CpusetMems(NumaSet::EMPTY), "\n"),
        (KnobValue::MemoryMin(MemoryLimit::Bytes(Bytes(0))), "0"),
        (KnobValue::MemoryLow(MemoryLimit::Max), "max"),
        (KnobValue::MemoryHigh(MemoryLimit::Bytes(Bytes(65_536))), "65536"),
        (KnobValue::MemoryMax(MemoryLimit::Max), "max"),
    ] {
        write_knob(&folder.cgroup, value).expect("write");
        assert_eq!(folder.text(value.knob().file()), text);
        assert_eq!(read_knob(&folder.cgroup, value.knob()).expect("read"), value);
    }
    let knobs = read_knobs(&folder.cgroup);
    assert_eq!(knobs.cpu_idle, Some(true));
    assert_eq!(knobs.cpu_max, Some(quota));
    assert_eq!(knobs.cpuset_cpus, Some(CpuSet::EMPTY));
    assert_eq!(knobs.cpuset_effective, Some(cpus("0-7")));
}

#[test]
fn a_held_descriptor_sees_the_newest_value() {
    let folder = folder(&KNOBS);
    assert!(!folder.cgroup.cpu_idle().expect("read"));
    folder.write("cpu.idle", "1\n");
    assert!(folder.cgroup.cpu_idle().expect("read"));
}

#[test]
fn what_cannot_be_read_is_none_and_noted() {
    let folder = folder(&[("cpu.idle", "1\n"), ("cpu.weight", "0\n"), ("cpu.max", "x\n")]);
    let mut errors = Vec::new();
    let knobs = read_knobs_noting(&folder.cgroup, &mut errors);
    assert_eq!(knobs.cpu_idle, Some(true));
    assert_eq!((knobs.cpu_weight, knobs.cpu_max, knobs.cpuset_cpus), (None, None, None));
    let tails: Vec<String> = errors
        .iter()
        .map(|error| error.to_string().replace(&folder.path.display().to_string(), ""))
        .collect();
    assert_eq!(
        tails,
        [
            r#"/cpu.weight shows "0" because cpu.idle is 1"#,
            r#"/cpu.max holds "x\n", which is not `QUOTA PERIOD` or `max PERIOD`"#,
            "/cpu.max.burst is not offered by this kernel",
            "/cpuset.cpus is not offered by this kernel",
            "/cpuset.mems is not offered by this kernel",
            "/memory.min is not offered by this kernel",
            "/memory.low is not offered by this kernel",
            "/memory.high is not offered by this kernel",
            "/memory.max is not offered by this kernel",
            r#"/cgroup.procs shows "" because no process is in it"#,
            "/cpuset.cpus.effective is not offered by this kernel",
        ]
    );
}

/// 6.12 shows 1 where 6.1 shows 0; only `cpu.idle` tells it from a weight of 1.
#[test]
fn a_weight_of_one_is_a_weight_unless_the_group_is_idle() {
    let folder = folder(&[("cpu.idle", "1\n"), ("cpu.weight", "1\n")]);
    let error = read_knob(&folder.cgroup, Knob::CpuWeight).expect_err("hidden");
    assert!(matches!(error, ReadError::Hidden { .. }), "{error}");
    folder.write("cpu.idle", "0\n");
    let weight = read_knob(&folder.cgroup, Knob::CpuWeight).expect("a weight");
    assert_eq!(weight, KnobValue::CpuWeight(CpuWeight::MIN));
}

#[test]
fn a_missing_file_is_unsupported_and_a_missing_directory_is_absent() {
    let folder = folder(&[]);
    let read = |knob| read_knob(&folder.cgroup, knob).expect_err("no such file");
    let write = || write_knob(&folder.cgroup, KnobValue::CpuIdle(true)).expect_err("no such file");
    assert!(matches!(read(Knob::CpuMax), ReadError::Unsupported { .. }));
    assert_eq!(write().kind(), FailureKind::Unsupported);
    assert!(folder.cgroup.is_alive());
    std::fs::remove_dir_all(&folder.path).expect("remove group");
    assert!(!folder.cgroup.is_alive());
    assert!(matches!(read(Knob::CpuMax), ReadError::Absent { .. }));
    assert!(matches!(write(), WriteError::Absent { .. }));
    assert_eq!(write().kind(), FailureKind::Vanished);
}

#[test]
fn a_directory_that_was_made_again_is_another_cgroup() {
    let folder = folder(&KNOBS);
    let moved = folder.path.with_file_name("old");
    std::fs::rename(&folder.path, &moved).expect("move away");
    std::fs::create_dir(&folder.path).expect("make again");
    std::fs::write(folder.path.join("cpuset.cpus"), "7\n").expect("write");
    assert_eq!(folder.cgroup.cpuset_cpus().expect("the old one"), CpuSet::EMPTY);
    let again = CgroupTree::at(folder.path.parent().expect("parent"))
        .cgroup(&CgroupPath::from("/a"))
        .expect("open");
    assert_ne!(again.id(), folder.cgroup.id());
}

#[test]
fn no_path_and_no_link_leads_out_of_the_tree() {
    let folder = folder(&[]);
    let tree = CgroupTree::at(&folder.path);
    for path in ["/../b", "x", "/a//b", "/./a"] {
        let error = tree.cgroup(&CgroupPath::from(path)).expect_err("outside");
        assert!(matches!(error, ReadError::Malformed { .. }), "{path}: {error}");
    }
    std::os::unix::fs::symlink("/", folder.path.join("link")).expect("link");
    let error = tree.cgroup(&CgroupPath::from("/link")).expect_err("a link");
    assert!(error.is_absent(), "{error}");
}

#[test]
fn other_files_are_read() {
    let folder = folder(&[
        ("cpu.stat", "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"),
        ("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"),
        ("memory.current", "8192\n"),
        ("memory.high", "max\n"),
        ("memory.stat", "anon 4096\nfile 0\n"),
        ("cgroup.events", "populated 1\nfrozen 0\n"),
        ("cgroup.controllers", "cpuset cpu\n"),
        ("cpuset.mems.effective", "0-1\n"),
        ("cpuset.cpus.partition", "member\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n"),
    ]);
    let cgroup = &folder.cgroup;
    assert_eq!(cgroup.cpu_stat().expect("cpu.stat").usage, Micros(5));
    let pressure = cgroup.pressure(PressureOf::Cpu).expect("cpu.pressure");
    assert_eq!((pressure.some.total, pressure.full), (Micros(12), None));
    assert_eq!(cgroup.memory_current().expect("memory.current").0, 8192);
    assert_eq!(cgroup.memory_high().expect("memory.high"), MemoryLimit::Max);
    assert_eq!(cgroup.memory_stat().expect("memory.stat").anon.map(|b| b.0), Some(4096));
    let events = Events { populated: true, frozen: Some(false) };
    assert_eq!(cgroup.events().expect("cgroup.events"), events);
    assert!(cgroup.controllers().expect("cgroup.controllers").contains("cpuset"));
    assert_eq!(cgroup.cpuset_mems_effective().expect("mems").len(), 2);
    assert_eq!(cgroup.io_stat().expect("io.stat")[0].n_writes, 4);
    assert!(cgroup.has(CgroupFile::IoStat) && !cgroup.has(CgroupFile::Kill));
}

#[test]
fn a_file_of_many_pages_is_read_whole() {
    let folder = folder(&[]);
    let pids: String = (1..=30_000).map(|pid| format!("{pid}\n")).collect();
    folder.write("cgroup.procs", &pids);
    let found = folder.cgroup.procs().expect("procs");
    assert_eq!((found.len(), found.last()), (30_000, Some(&30_000)));
}

#[test]
fn bytes_that_are_no_text_are_malformed() {
    let folder = folder(&[]);
    std::fs::write(folder.path.join("cpu.max"), [0xff, 0xfe]).expect("write");
    let error = read_knob(&folder.cgroup, Knob::CpuMax).expect_err("not text");
    assert!(matches!(error, ReadError::Malformed { .. }), "{error}");
}

#[test]
fn a_file_that_may_not_be_opened_is_refused_with_its_errno() {
    let folder = folder(&[]);
    std::fs::create_dir(folder.path.join("cpu.max")).expect("a folder in its place");
    let error = write_knob(&folder.cgroup, KnobValue::CpuMax(CpuMax::UNLIMITED));
    let error = error.expect_err("EISDIR");
    assert_eq!((error.errno(), error.kind()), (Some(21), FailureKind::Other));
}

/// A pod of two groups; one process is listed and gone already.
fn pod() -> (Folder, CgroupTree) {
    let folder = folder(&[]);
    let root = folder.path.parent().and_then(|pods| pods.parent()).expect("the root").to_owned();
    for (pid, score) in [(7, "0\n"), (8, "900\n"), (9, "-998\n")] {
        let process = root.join("proc").join(pid.to_string());
        std::fs::create_dir_all(&process).expect("a process");
        std::fs::write(process.join("oom_score_adj"), score).expect("its score");
    }
    for (group, procs) in [("app", "7\n8\n4000000\n"), ("pause", "9\n"), ("empty", "")] {
        let dir = folder.path.join(group);
        std::fs::create_dir(&dir).expect("a group");
        std::fs::write(dir.join("cgroup.procs"), procs).expect("its processes");
    }
    let tree = CgroupTree::at(&root).with_proc(root.join("proc"));
    (folder, tree)
}

fn score(value: i16) -> OomScoreAdj {
    OomScoreAdj::new(value).expect("in range")
}

#[test]
fn scores_are_of_every_process_of_a_group_and_told_for_all_groups_below() {
    let (_folder, tree) = pod();
    let open = |path: &str| tree.cgroup(&CgroupPath::from(path)).expect("open");
    let (whole, app) = (open("/pods/a"), open("/pods/a/app"));
    let mut groups = whole.groups_with_processes().expect("groups");
    groups.sort();
    assert_eq!(groups, ["/pods/a/app", "/pods/a/pause"].map(CgroupPath::from));
    assert_eq!(app.first_oom_score().expect("read"), Some(score(0)));
    assert_eq!(app.oom_scores().expect("read"), Some(score(0).with(score(900))));
    assert_eq!(open("/pods/a/empty").oom_scores().expect("read"), None);
    // the first process of each group speaks for it
    let leading = KnobValue::OomScoreAdj(score(-998).with(score(0)));
    assert_eq!(read_knob(&whole, Knob::OomScoreAdj).expect("read"), leading);
    write_knob(&app, KnobValue::OomScoreAdj(score(500))).expect("the one that is gone is fine");
    assert_eq!(app.oom_scores().expect("read"), Some(score(500)));
    assert_eq!(open("/pods/a/pause").oom_scores().expect("read"), Some(score(-998)), "not below");
}

#[test]
fn scores_without_processes_or_without_proc_are_told_apart() {
    let (folder, tree) = pod();
    let empty = tree.cgroup(&CgroupPath::from("/pods/a/empty")).expect("open");
    let error = read_knob(&empty, Knob::OomScoreAdj).expect_err("nobody is in it");
    assert!(matches!(error, ReadError::Hidden { .. }), "{error:?}");
    folder.write("cgroup.procs", "7\n");
    let error = read_knob(&folder.cgroup, Knob::OomScoreAdj).expect_err("no /proc was given");
    assert!(matches!(error, ReadError::Unsupported { .. }), "{error:?}");
    let value = KnobValue::OomScoreAdj(score(5));
    let error = write_knob(&folder.cgroup, value).expect_err("no /proc was given");
    assert_eq!(error.kind(), FailureKind::Unsupported);
    let range = KnobValue::OomScoreAdj(score(5).with(score(6)));
    let error = write_knob(&empty, range).expect_err("a range is not a value");
    assert_eq!(error.kind(), FailureKind::Invalid);
    folder.write("app/cgroup.procs", "0\n");
    let app = tree.cgroup(&CgroupPath::from("/pods/a/app")).expect("open");
    let error = write_knob(&app, value).expect_err("a process of another pid namespace");
    assert_eq!(error.kind(), FailureKind::Invalid);
}
