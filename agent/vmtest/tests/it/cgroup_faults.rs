//! Many at once: ten thousand groups, hundreds of flips, a hundred groups read each second. Bounds are loose
//! where the emulator sets the pace; the numbers are printed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hostfs::cgroup::read::PressureOf;
use hostfs::cgroup::walk::{WalkLimits, walk};
use hostfs::{Cgroup, CgroupTree, read_knob, write_knob};
use model::knob::{CpuMax, KnobValue};
use model::qos::CgroupPath;
use vmtest::{TestCgroup, guest};

use crate::cgroup_knobs::{cpus, measured, open, quota};

/// Guests hung here until init.sh held a quota, see there. Beside hogs a flip takes tens of milliseconds at the median
/// and, with the emulator's own two cores busy, 3 s were seen: this is ten times that.
const ONE_FLIP: Duration = Duration::from_secs(30);

#[test]
fn cgroup_ten_thousand_groups_are_walked() {
    let parent = TestCgroup::new("many");
    let dirs: Vec<_> = (0..100).map(|pod| parent.path().join(format!("pod{pod}"))).collect();
    for dir in &dirs {
        fs::create_dir(dir).expect("make a pod");
        for container in 0..99 {
            fs::create_dir(dir.join(format!("c{container}"))).expect("make a container");
        }
    }
    let tree = CgroupTree::at(parent.path());
    let began = Instant::now();
    let found = walk(&tree, WalkLimits::default()).expect("walk");
    let took = began.elapsed();
    measured(&format!("walk_10000_groups_ms {}", took.as_millis()));
    assert_eq!((found.entries.len(), found.n_vanished, found.truncated), (10_000, 0, false));
    assert!(took < Duration::from_secs(10), "the walk took {took:?}");
    for entry in found.entries.iter().step_by(997) {
        assert_eq!(tree.cgroup(&entry.path).expect("open").id(), entry.id, "{}", entry.path);
    }
    for dir in &dirs {
        for container in 0..99 {
            fs::remove_dir(dir.join(format!("c{container}"))).expect("remove a container");
        }
    }
}

#[test]
fn cgroup_a_walk_survives_groups_that_come_and_go() {
    let parent = TestCgroup::new("churn");
    let tree = CgroupTree::at(parent.path());
    let path = parent.path().to_owned();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| churn(&path, &stop));
        let began = Instant::now();
        let mut n_walks = 0;
        while n_walks < 200 && began.elapsed() < Duration::from_secs(20) {
            let found = walk(&tree, WalkLimits::default());
            assert!(found.is_ok(), "a walk broke off: {found:?}");
            n_walks += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

fn churn(parent: &Path, stop: &std::sync::atomic::AtomicBool) {
    let groups: Vec<_> = (0..20).map(|n| parent.join(format!("g{n}"))).collect();
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        for group in &groups {
            fs::create_dir_all(group.join("inner")).expect("make");
        }
        for group in &groups {
            fs::remove_dir(group.join("inner")).expect("remove");
            fs::remove_dir(group).expect("remove");
        }
    }
}

#[test]
fn cgroup_three_hundred_quota_and_cpuset_flips_beside_hogs_end() {
    let group = TestCgroup::new("flips");
    let cgroup = open(&group);
    write_knob(&cgroup, KnobValue::CpusetCpus(cpus("0-3"))).expect("write");
    let _hogs = group.spin(8, None);
    let unlimited = [KnobValue::CpuMax(CpuMax::UNLIMITED), quota(2000, 100_000)];
    check_flips(&cgroup, "quota", 150, unlimited);
    check_flips(&cgroup, "finite_quota", 300, [quota(400_000, 100_000), quota(2000, 100_000)]);
    write_knob(&cgroup, KnobValue::CpuMax(CpuMax::UNLIMITED)).expect("write");
    let sets = [KnobValue::CpusetCpus(cpus("0-1")), KnobValue::CpusetCpus(cpus("2-3"))];
    check_flips(&cgroup, "cpuset", 150, sets);
    check_flips(&cgroup, "idle", 300, [KnobValue::CpuIdle(true), KnobValue::CpuIdle(false)]);
}

#[track_caller]
fn check_flips(cgroup: &Cgroup, name: &str, n_flips: usize, values: [KnobValue; 2]) {
    let mut times: Vec<Duration> = Vec::new();
    for value in values.into_iter().cycle().take(n_flips) {
        let began = Instant::now();
        write_knob(cgroup, value).unwrap_or_else(|error| panic!("{value}: {error:?}"));
        times.push(began.elapsed());
        let found = read_knob(cgroup, value.knob()).expect("read back");
        assert_eq!(found, value);
        assert!(began.elapsed() < ONE_FLIP, "a flip to {value} took {:?}", began.elapsed());
    }
    times.sort_unstable();
    measured(&format!(
        "flip_{name}_us p50 {} p99 {} max {}",
        times[n_flips / 2].as_micros(),
        times[n_flips * 99 / 100].as_micros(),
        times[n_flips - 1].as_micros()
    ));
}

/// What the agent does each second for 100 workloads, through held descriptors.
#[test]
fn cgroup_a_hundred_groups_are_read_through_held_descriptors() {
    guest();
    let parent = TestCgroup::new("hundred");
    parent.pass_on(&["cpu"]);
    let children: Vec<_> = (0..100).map(|n| parent.child(&format!("w{n}"))).collect();
    let tree = CgroupTree::at(parent.path());
    let handles: Vec<Cgroup> = (0..100)
        .map(|n| tree.cgroup(&CgroupPath::from(format!("/w{n}").as_str())).expect("open"))
        .collect();
    let read_all = || {
        let began = Instant::now();
        for cgroup in &handles {
            cgroup.cpu_stat().expect("cpu.stat");
            cgroup.pressure(PressureOf::Cpu).expect("cpu.pressure");
        }
        began.elapsed()
    };
    let first = read_all();
    let mut times: Vec<Duration> = (0..20).map(|_| read_all()).collect();
    times.sort_unstable();
    measured(&format!(
        "read_100_cgroups_us first {} median {}",
        first.as_micros(),
        times[10].as_micros()
    ));
    assert!(times[10] < Duration::from_millis(500), "reading took {:?}", times[10]);
    drop(children);
}
