//! What reading the workloads costs, and that it costs the same at every turn.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use collector::clock;
use collector::rules::Rule;
use collector::workloads::{Thresholds, WorkloadReader};
use hostfs::{CgroupTree, HostRoot};
use model::qos::{CgroupPath, QosLevel};
use model::sample::WorkloadSpec;
use model::{Micros, MilliCpu};
use probe::OffProbe;
use rustix::process::{Resource, Rlimit, setrlimit};
use vmtest::{TestCgroup, process};

use crate::cgroup_knobs::measured;

const N_WORKLOADS: usize = 300;

/// `bench footprint` says that a guest in virtual time takes 9 to 11 times what a native core takes.
const EMULATOR_FACTOR: u32 = 9;

/// Three hundred workloads with a process each, all files of which are read every ten seconds: at most a
/// few of them at one turn, so that no turn is much longer than the others. In virtual time.
#[test]
fn exact_reading_three_hundred_workloads_costs_the_same_at_every_turn() {
    // As the agent does: nine held files of each cgroup.
    let all = Rlimit { current: Some(8192), maximum: Some(8192) };
    setrlimit(Resource::Nofile, all).expect("root may raise it");
    let root = TestCgroup::new("reading");
    root.pass_on(&["cpu", "cpuset", "memory", "io"]);
    let groups: Vec<TestCgroup> = (0..N_WORKLOADS).map(|n| root.child(&format!("g{n}"))).collect();
    let mut sleepers: Vec<Child> = groups.iter().map(sleeper).collect();
    let tree = CgroupTree::open(&HostRoot::new("/"), &CgroupPath::from("/")).expect("cgroup v2");
    let rule = Rule {
        cgroup: "/t-reading/*".to_owned(),
        name: "batch".to_owned(),
        spec: WorkloadSpec::plain(QosLevel::ReclaimedCores, MilliCpu(0)),
    };
    let thresholds = Thresholds { default_target: Micros(5000) };
    let off = OffProbe { why: "not needed here".to_owned() };
    let mut reader = WorkloadReader::new(tree, vec![rule], thresholds, Box::new(off));
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..32 {
        let began = Instant::now();
        let seen = reader.read(clock::now()).expect("read");
        took.push(began.elapsed() / EMULATOR_FACTOR);
        assert_eq!(seen.cgroups.len(), N_WORKLOADS);
        std::thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
    }
    for sleeper in &mut sleepers {
        process::reap(sleeper);
    }
    // The first opens everything; those after it are ten seconds three times.
    let (first, mut rest) = (took[0], took[1..].to_vec());
    rest.sort();
    let (median, most) = (rest[rest.len() / 2], rest[rest.len() - 1]);
    measured(&format!("reading_300_first_native_us {}", first.as_micros()));
    measured(&format!("reading_300_median_native_us {}", median.as_micros()));
    measured(&format!("reading_300_max_native_us {}", most.as_micros()));
    assert!(most < median * 2, "one turn takes {most:?}, the usual one {median:?}");
}

#[track_caller]
fn sleeper(group: &TestCgroup) -> Child {
    let mut sleep = Command::new("sleep");
    let child = sleep.arg("1000").stdin(Stdio::null()).spawn().expect("start sleep");
    group.write("cgroup.procs", &child.id().to_string());
    child
}
