//! A folder of plain files that changes between readings: what is noticed when.

use hostfs::CgroupTree;
use model::MilliCpu;
use model::knob::CpuWeight;
use model::qos::{CgroupPath, QosLevel};

use model::sample::SourceFault;

use super::*;

const FILES: [(&str, &str); 11] = [
    ("cgroup.procs", ""),
    ("cgroup.events", "populated 1\n"),
    ("cpu.idle", "0\n"),
    ("cpu.weight", "100\n"),
    ("cpu.max", "max 100000\n"),
    ("cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\n"),
    ("cpu.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=5\n"),
    ("cpuset.cpus", "0-3\n"),
    ("cpuset.cpus.effective", "0-3\n"),
    ("memory.stat", "anon 4096\nfile 8192\n"),
    ("io.stat", "8:0 rbytes=1000 wbytes=20 rios=2 wios=1\n"),
];

struct Folder {
    dir: tempfile::TempDir,
    files: Files,
}

impl Folder {
    fn new(qos: QosLevel) -> Folder {
        Folder::nth(qos, 0)
    }

    fn nth(qos: QosLevel, nth: u64) -> Folder {
        let dir = tempfile::tempdir().expect("temp dir");
        for (file, text) in FILES {
            std::fs::write(dir.path().join(file), text).expect("write");
        }
        let cgroup = CgroupTree::at(dir.path()).cgroup(&CgroupPath::from("/")).expect("open");
        let spec = WorkloadSpec::plain(qos, MilliCpu(0));
        Folder { files: Files::new(cgroup, spec, nth), dir }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.path().join(file), text).expect("write");
    }

    fn read(&mut self, at_s: u64) -> WorkloadSample {
        let at = Timestamp(at_s * 1_000_000_000);
        self.files.read(at, SlotId(1)).expect("the group is there")
    }
}

/// Weight and cpuset, the written and the kernel's, as a reading at `at_s` has them, after all of
/// them changed behind the first reading.
#[track_caller]
fn check_knobs(qos: QosLevel, at_s: u64, expect: (u16, &str, &str)) {
    let mut folder = Folder::new(qos);
    folder.read(100);
    folder.write("cpu.weight", "200\n");
    folder.write("cpuset.cpus", "0-1\n");
    folder.write("cpuset.cpus.effective", "0-1\n");
    let knobs = folder.read(at_s).knobs;
    let text = |cpus: Option<model::CpuSet>| cpus.expect("a cpuset").to_string();
    let seen = (knobs.cpu_weight, text(knobs.cpuset_cpus), text(knobs.cpuset_effective));
    let (weight, cpus, effective) = expect;
    assert_eq!(seen, (CpuWeight::new(weight), cpus.to_owned(), effective.to_owned()));
}

#[test]
fn what_a_plan_writes_is_seen_at_once_and_the_rest_within_ten_seconds() {
    check_knobs(QosLevel::ReclaimedCores, 101, (200, "0-1", "0-1"));
    check_knobs(QosLevel::SharedCores, 101, (100, "0-1", "0-1"));
    check_knobs(QosLevel::SharedCores, 109, (100, "0-1", "0-1"));
    check_knobs(QosLevel::SharedCores, 110, (200, "0-1", "0-1"));
}

/// The parent changed: the group's own file says the same as before.
#[test]
fn a_cpuset_that_only_the_kernel_changed_is_seen_seldom() {
    let mut folder = Folder::new(QosLevel::ReclaimedCores);
    folder.read(100);
    folder.write("cpuset.cpus.effective", "0\n");
    let mut effective = |at_s| {
        let knobs = folder.read(at_s).knobs;
        knobs.cpuset_effective.map(|cpus| cpus.to_string())
    };
    assert_eq!([101, 110].map(&mut effective), ["0-3", "0"].map(|cpus| Some(cpus.to_owned())));
}

/// Memory and burst files are not read with every turn, and what they said knows when that was.
#[test]
fn knobs_that_only_berth_writes_are_read_every_ten_seconds() {
    let mut folder = Folder::new(QosLevel::ReclaimedCores);
    folder.write("memory.high", "max\n");
    folder.write("cpu.max.burst", "0\n");
    folder.read(100);
    folder.write("memory.high", "65536\n");
    folder.write("cpu.max.burst", "5\n");
    for (at_s, high, burst, seldom_at_s) in [(109, "max", 0, 100), (110, "65536", 5, 110)] {
        let knobs = folder.read(at_s).knobs;
        assert_eq!(knobs.memory_high.map(|high| high.to_string()).as_deref(), Some(high));
        assert_eq!(knobs.cpu_burst, Some(model::Micros(burst)));
        assert_eq!(knobs.seldom_at, Some(Timestamp(seldom_at_s * 1_000_000_000)));
    }
}

#[test]
fn pressure_is_read_every_turn() {
    let mut folder = Folder::new(QosLevel::SharedCores);
    folder.read(100);
    folder.write("cpu.pressure", "some avg10=9.00 avg60=0.00 avg300=0.00 total=6\n");
    let seen = folder.read(101).cpu_pressure.map(|pressure| pressure.some.avg10_pct);
    assert_eq!(seen, Some(9.0));
}

/// Anonymous memory, bytes read, and how old both are, after both files changed behind the first reading.
#[track_caller]
fn check_seldom(at_s: u64, expect: (u64, u64, u64)) {
    let mut folder = Folder::new(QosLevel::SharedCores);
    folder.read(100);
    folder.write("memory.stat", "anon 5000\nfile 8192\n");
    folder.write("io.stat", "8:0 rbytes=3000 wbytes=20 rios=2 wios=1\n");
    let sample = folder.read(at_s);
    let anon = sample.seldom.memory_stat.value().and_then(|stat| stat.anon);
    let read: u64 = sample.seldom.io_stat.value().into_iter().flatten().map(|it| it.read.0).sum();
    let age = sample.seldom.memory_stat.age(sample.at).map(|age| age.0 / 1_000_000_000);
    assert_eq!(age, sample.seldom.io_stat.age(sample.at).map(|age| age.0 / 1_000_000_000));
    assert_eq!((anon, read, age), (Some(Bytes(expect.0)), expect.1, Some(expect.2)));
    let before = sample.seldom.io_stat_before.as_ref().map(|reading| reading.at.0);
    assert_eq!(before, (at_s >= 110).then_some(100_000_000_000), "the reading before, for a rate");
}

#[test]
fn memory_and_io_are_read_every_ten_seconds_and_know_their_age() {
    check_seldom(101, (4096, 1000, 1));
    check_seldom(109, (4096, 1000, 9));
    check_seldom(110, (5000, 3000, 0));
}

#[test]
fn a_stat_file_that_breaks_or_is_missing_says_so_and_keeps_what_was_read() {
    let mut folder = Folder::new(QosLevel::SharedCores);
    std::fs::remove_file(folder.dir.path().join("io.stat")).expect("remove");
    let first = folder.read(100);
    assert_eq!(first.seldom.io_stat.latest, None, "never read is not zero");
    assert!(matches!(first.seldom.io_stat.fault, Some(SourceFault::Unsupported { .. })));
    assert_eq!(first.errors, Vec::<String>::new(), "a kernel without it is ordinary");
    folder.write("memory.stat", "anon many\n");
    let broken = folder.read(110).seldom.memory_stat.clone();
    assert!(matches!(broken.fault, Some(SourceFault::Broken { .. })), "{:?}", broken.fault);
    assert_eq!(broken.value().and_then(|stat| stat.anon), Some(Bytes(4096)));
}

#[test]
fn an_error_of_a_seldom_reading_is_told_until_the_next() {
    let mut folder = Folder::new(QosLevel::SharedCores);
    folder.write("cpu.max", "nonsense\n");
    let first = folder.read(100);
    assert_eq!((first.knobs.cpu_max, first.errors.len()), (None, 1), "{:?}", first.errors);
    folder.write("cpu.max", "max 100000\n");
    assert_eq!(folder.read(105).errors, first.errors);
    let later = folder.read(110);
    assert_eq!((later.knobs.cpu_max.is_some(), later.errors), (true, Vec::new()));
}

/// How often `memory.numa_stat` was read, by what stands in it afterwards: bytes on node 0 at 100,
/// 105 and 110 s.
#[track_caller]
fn check_numa(qos: QosLevel, text: &str, expect: [Option<u64>; 3]) {
    let mut folder = Folder::new(qos);
    let mut seen = Vec::new();
    for (at_s, anon) in [(100, "1"), (105, "2"), (110, "3")] {
        folder.write("memory.numa_stat", &text.replace("BYTES", anon));
        let seldom = folder.read(at_s).seldom;
        let nodes = seldom.numa_stat.value();
        seen.push(nodes.map(|nodes| nodes[&model::NumaNodeId(0)].total().0));
    }
    assert_eq!(seen, expect, "{qos} {text:?}");
}

#[test]
fn memory_by_node_is_read_seldom_and_only_where_there_are_nodes() {
    let (one, two) = ("anon N0=BYTES\n", "anon N0=BYTES N1=7\n");
    check_numa(QosLevel::ReclaimedCores, two, [Some(1), Some(1), Some(3)]);
    check_numa(QosLevel::ReclaimedCores, one, [Some(1), Some(1), Some(1)]);
    check_numa(QosLevel::SharedCores, two, [None; 3]);
}

/// The n-th of many that were found at 100 s: when what is read seldom is read again.
#[track_caller]
fn check_phase(nth: u64, second: u64, third: u64) {
    let mut folder = Folder::nth(QosLevel::SharedCores, nth);
    folder.read(100);
    let mut seen = Vec::new();
    for at_s in 101..125 {
        folder.write("cpu.weight", &format!("{at_s}\n"));
        if folder.read(at_s).knobs.cpu_weight == CpuWeight::new(at_s as u16) {
            seen.push(at_s);
        }
    }
    assert_eq!(seen[..2], [second, third], "the {nth}th");
}

#[test]
fn workloads_that_were_found_together_are_not_read_together() {
    check_phase(0, 110, 120);
    check_phase(1, 109, 119);
    check_phase(9, 101, 111);
    check_phase(10, 110, 120);
}
