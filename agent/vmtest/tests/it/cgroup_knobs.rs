//! Each knob written through `hostfs` and read back on the real kernel, and what the kernel does to a value
//! on the way. Refusals are in `cgroup_refusals`.

use std::io::Write as _;

use hostfs::cgroup::parse::{MemoryLimit, Partition};
use hostfs::{Cgroup, CgroupTree, HostRoot, ReadError, read_knob, read_knobs, write_knob};
use model::knob::{CpuMax, CpuWeight, Knob, KnobValue};
use model::plan::FailureKind;
use model::qos::CgroupPath;
use model::{Bytes, CpuSet, Micros, NumaSet};
use vmtest::{ROOT, TestCgroup, guest};

/// The group as the agent opens it.
#[track_caller]
pub(crate) fn open(cgroup: &TestCgroup) -> Cgroup {
    let path = format!("/{}", cgroup.name().display());
    CgroupTree::at(ROOT)
        .cgroup(&CgroupPath::from(path.as_str()))
        .unwrap_or_else(|error| panic!("open {path}: {error}"))
}

pub(crate) fn cpus(list: &str) -> CpuSet {
    list.parse().expect("a CPU list")
}

pub(crate) fn quota(quota: u64, period: u64) -> KnobValue {
    KnobValue::CpuMax(CpuMax { quota: Some(Micros(quota)), period: Micros(period) })
}

pub(crate) fn weight(weight: u16) -> KnobValue {
    KnobValue::CpuWeight(CpuWeight::new(weight).expect("a weight in range"))
}

/// Straight to the descriptor: what goes through print! is captured while the test passes.
pub(crate) fn measured(what: &str) {
    writeln!(std::io::stderr(), "MEASURED {what}").expect("write to stderr");
}

#[track_caller]
fn check_round_trip(cgroup: &Cgroup, value: KnobValue) {
    write_knob(cgroup, value).unwrap_or_else(|error| panic!("write {value}: {error:?}"));
    let found = read_knob(cgroup, value.knob()).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(found, value);
}

#[test]
fn smoke_cgroup_every_knob_is_written_and_read_back() {
    let group = TestCgroup::new("knobs");
    let cgroup = open(&group);
    for value in [
        KnobValue::CpuIdle(false),
        weight(1),
        weight(2),
        weight(39),
        weight(9999),
        weight(10_000),
        quota(1000, 100_000),
        quota(50_000, 100_000),
        quota(1_600_000, 100_000),
        quota(1000, 1000),
        quota(5000, 1_000_000),
        KnobValue::CpuMax(CpuMax::UNLIMITED),
        KnobValue::CpusetCpus(cpus("0-3,6")),
        KnobValue::CpusetCpus(cpus("7")),
        KnobValue::CpusetCpus(CpuSet::EMPTY),
        KnobValue::CpuIdle(true),
    ] {
        check_round_trip(&cgroup, value);
    }
    assert_eq!(group.read("cpu.idle"), "1");
}

/// Every weight survives: the kernel keeps 1024ths and rounds both ways.
#[test]
fn cgroup_every_weight_is_kept() {
    let group = TestCgroup::new("weights");
    let cgroup = open(&group);
    for value in (1..=10_000).step_by(7) {
        check_round_trip(&cgroup, weight(value));
    }
}

/// The kernel forgets the weight when a group becomes idle: afterwards it is 100, not what it was. A plan that
/// lifts `cpu.idle` has to write the weight again. Meanwhile 6.1 shows 0 and 6.12 shows 1.
#[test]
fn smoke_cgroup_an_idle_group_hides_and_loses_its_weight() {
    let group = TestCgroup::new("idle");
    let cgroup = open(&group);
    write_knob(&cgroup, weight(500)).expect("write the weight");
    write_knob(&cgroup, KnobValue::CpuIdle(true)).expect("make it idle");
    let hidden = read_knob(&cgroup, Knob::CpuWeight).expect_err("no weight while idle");
    assert!(matches!(hidden, ReadError::Hidden { .. }), "{hidden:?}");
    assert_eq!(read_knobs(&cgroup).cpu_weight, None);
    let refused = write_knob(&cgroup, weight(500)).expect_err("no weight while idle");
    assert_eq!((refused.kind(), refused.errno()), (FailureKind::Invalid, Some(22)), "{refused:?}");
    write_knob(&cgroup, KnobValue::CpuIdle(false)).expect("wake it");
    assert_eq!(read_knobs(&cgroup).cpu_weight, Some(CpuWeight::DEFAULT));
}

#[test]
fn smoke_cgroup_the_guest_is_a_version_two_host() {
    guest();
    let tree = CgroupTree::open(&HostRoot::new("/"), &CgroupPath::from("/")).expect("cgroup v2");
    assert_eq!(tree.dir(), std::path::Path::new(ROOT));
    let root = tree.cgroup(&CgroupPath::from("/")).expect("the root");
    assert!(root.subtree_control().expect("controllers").contains("cpuset"));
    // The root has no knobs and no events, but its time is counted.
    let missing = write_knob(&root, KnobValue::CpuIdle(true)).expect_err("no cpu.idle in the root");
    assert_eq!(missing.kind(), FailureKind::Unsupported);
    assert!(matches!(root.events(), Err(ReadError::Unsupported { .. })));
    assert!(root.cpu_stat().expect("cpu.stat").usage > Micros(0));
}

#[test]
fn cgroup_without_a_controller_its_knobs_are_unsupported_not_vanished() {
    let parent = TestCgroup::new("bare");
    let child = parent.child("child");
    let cgroup = open(&child);
    // All but the score, which no controller brings.
    for knob in Knob::ALL.into_iter().filter(|knob| knob.controller().is_some()) {
        let error = read_knob(&cgroup, knob).expect_err("no controller, no file");
        assert!(matches!(error, ReadError::Unsupported { .. }), "{error:?}");
    }
    let error = write_knob(&cgroup, weight(5)).expect_err("no controller, no file");
    assert_eq!(error.kind(), FailureKind::Unsupported);
    // Time is counted without the cpu controller; periods are not.
    let stat = cgroup.cpu_stat().expect("cpu.stat");
    assert_eq!((stat.nr_periods, stat.throttled), (None, None));
    parent.pass_on(&["cpu"]);
    check_round_trip(&cgroup, weight(5));
    assert_eq!(cgroup.cpu_stat().expect("cpu.stat").nr_periods, Some(0));
}

#[test]
fn cgroup_memory_limits_are_kept_in_whole_pages() {
    let group = TestCgroup::new("memory");
    let cgroup = open(&group);
    assert_eq!(cgroup.memory_high().expect("memory.high"), MemoryLimit::Max);
    let high = |limit| write_knob(&cgroup, KnobValue::MemoryHigh(limit)).expect("memory.high");
    high(MemoryLimit::Bytes(Bytes(10_000_000)));
    let kept = cgroup.memory_high().expect("memory.high");
    assert_eq!(kept, MemoryLimit::Bytes(Bytes(10_000_000 / 4096 * 4096)));
    let max = KnobValue::MemoryMax(MemoryLimit::Bytes(Bytes(64 << 20)));
    write_knob(&cgroup, max).expect("write memory.max");
    assert_eq!(cgroup.memory_max().expect("memory.max"), MemoryLimit::Bytes(Bytes(64 << 20)));
    high(MemoryLimit::Max);
    let _load = group.hold_memory(16);
    let current = cgroup.memory_current().expect("memory.current");
    let stat = cgroup.memory_stat().expect("memory.stat");
    assert!(current >= Bytes(16 << 20) && current <= Bytes(64 << 20), "{current}");
    assert!(stat.anon >= Some(Bytes(16 << 20)), "{stat:?}");
    assert!(stat.pgfault >= Some(1) && stat.pgmajfault == Some(0), "{stat:?}");
}

#[test]
fn cgroup_memory_nodes_and_partitions_are_read() {
    let group = TestCgroup::new("mems");
    let cgroup = open(&group);
    assert_eq!(cgroup.cpuset_mems().expect("cpuset.mems").len(), 0);
    let both = cgroup.cpuset_mems_effective().expect("cpuset.mems.effective");
    let nodes = |list| NumaSet::parse(list).expect("a list of nodes");
    assert_eq!(both, nodes("0-1"));
    write_knob(&cgroup, KnobValue::CpusetMems(nodes("1"))).expect("write cpuset.mems");
    assert_eq!(cgroup.cpuset_mems_effective().expect("effective"), nodes("1"));
    assert_eq!(cgroup.cpuset_partition().expect("partition"), Partition::Member);
    write_knob(&cgroup, KnobValue::CpusetCpus(cpus("4-7"))).expect("write cpuset.cpus");
    group.write("cpuset.cpus.partition", "root");
    assert_eq!(cgroup.cpuset_partition().expect("partition"), Partition::Root);
    group.write("cpuset.cpus.partition", "member");
    // Below a group that is no partition itself, as pods are below kubepods.
    group.pass_on(&["cpuset"]);
    let below = group.child("below");
    below.write("cpuset.cpus", "5");
    below.write("cpuset.cpus.partition", "root");
    let nested = open(&below).cpuset_partition().expect("partition");
    // 6.1 blames the parent, 6.12 the exclusive CPUs that nobody gave it.
    assert!(matches!(&nested, Partition::Invalid { why } if !why.is_empty()), "{nested:?}");
}

/// A mask outside the parent's is taken without a word; only `effective` tells that it means nothing.
#[test]
fn smoke_cgroup_a_mask_outside_the_parent_falls_back() {
    let parent = TestCgroup::new("outside");
    parent.pass_on(&["cpuset"]);
    let child = parent.child("child");
    let (parent, child) = (open(&parent), open(&child));
    write_knob(&parent, KnobValue::CpusetCpus(cpus("0-1"))).expect("write the parent");
    write_knob(&child, KnobValue::CpusetCpus(cpus("4-5"))).expect("accepted");
    let knobs = read_knobs(&child);
    assert_eq!(knobs.cpuset_cpus, Some(cpus("4-5")));
    assert_eq!(knobs.cpuset_effective, Some(cpus("0-1")));
    write_knob(&parent, KnobValue::CpusetCpus(cpus("1,5"))).expect("move the parent");
    assert_eq!(read_knobs(&child).cpuset_effective, Some(cpus("5")));
}
