//! A folder of plain files that changes between readings: what is noticed when.

use hostfs::CgroupTree;
use model::MilliCpu;
use model::knob::CpuWeight;
use model::qos::{CgroupPath, QosLevel};

use super::*;

const FILES: [(&str, &str); 9] = [
    ("cgroup.procs", ""),
    ("cgroup.events", "populated 1\n"),
    ("cpu.idle", "0\n"),
    ("cpu.weight", "100\n"),
    ("cpu.max", "max 100000\n"),
    ("cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\n"),
    ("cpu.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=5\n"),
    ("cpuset.cpus", "0-3\n"),
    ("cpuset.cpus.effective", "0-3\n"),
];

struct Folder {
    dir: tempfile::TempDir,
    files: Files,
}

impl Folder {
    fn new(qos: QosLevel) -> Folder {
        let dir = tempfile::tempdir().expect("temp dir");
        for (file, text) in FILES {
            std::fs::write(dir.path().join(file), text).expect("write");
        }
        let cgroup = CgroupTree::at(dir.path()).cgroup(&CgroupPath::from("/")).expect("open");
        let spec = WorkloadSpec { qos, request: MilliCpu(0), target_p99: None };
        Folder { files: Files::new(cgroup, spec), dir }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.path().join(file), text).expect("write");
    }

    fn read(&mut self, at_s: u64, witness: Witness) -> WorkloadSample {
        let at = Timestamp(at_s * 1_000_000_000);
        self.files.read(at, SlotId(1), witness).expect("the group is there")
    }
}

/// Weight and cpuset, the written and the kernel's, as a reading at `at_s` has them, after all of
/// them changed behind the first reading.
#[track_caller]
fn check_knobs(qos: QosLevel, at_s: u64, expect: (u16, &str, &str)) {
    let mut folder = Folder::new(qos);
    folder.read(100, Witness::Probe);
    folder.write("cpu.weight", "200\n");
    folder.write("cpuset.cpus", "0-1\n");
    folder.write("cpuset.cpus.effective", "0-1\n");
    let knobs = folder.read(at_s, Witness::Probe).knobs;
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
    folder.read(100, Witness::Probe);
    folder.write("cpuset.cpus.effective", "0\n");
    let mut effective = |at_s| {
        let knobs = folder.read(at_s, Witness::Probe).knobs;
        knobs.cpuset_effective.map(|cpus| cpus.to_string())
    };
    assert_eq!([101, 110].map(&mut effective), ["0-3", "0"].map(|cpus| Some(cpus.to_owned())));
}

#[track_caller]
fn check_pressure(witness: Witness, at_s: u64, expect: f64) {
    let mut folder = Folder::new(QosLevel::SharedCores);
    folder.read(100, witness);
    folder.write("cpu.pressure", "some avg10=9.00 avg60=0.00 avg300=0.00 total=6\n");
    let seen = folder.read(at_s, witness).cpu_pressure.map(|pressure| pressure.some.avg10_pct);
    assert_eq!(seen, Some(expect));
}

#[test]
fn pressure_is_read_every_turn_where_it_is_the_only_witness() {
    check_pressure(Witness::Probe, 101, 1.0);
    check_pressure(Witness::Probe, 102, 9.0);
    check_pressure(Witness::Pressure, 101, 9.0);
}

#[test]
fn an_error_of_a_seldom_reading_is_told_until_the_next() {
    let mut folder = Folder::new(QosLevel::SharedCores);
    folder.write("cpu.max", "nonsense\n");
    let first = folder.read(100, Witness::Probe);
    assert_eq!((first.knobs.cpu_max, first.errors.len()), (None, 1), "{:?}", first.errors);
    folder.write("cpu.max", "max 100000\n");
    assert_eq!(folder.read(105, Witness::Probe).errors, first.errors);
    let later = folder.read(110, Witness::Probe);
    assert_eq!((later.knobs.cpu_max.is_some(), later.errors), (true, Vec::new()));
}
