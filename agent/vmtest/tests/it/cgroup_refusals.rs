//! What the kernel refuses, with which errno, and what `hostfs` makes of it. Measured on 6.1 and 6.12; a kernel
//! that answers differently fails here and not on a node.

use std::fs;
use std::thread;
use std::time::Duration;

use hostfs::{CgroupFile, ReadError, WriteError, read_knob, write_knob};
use model::CpuSet;
use model::knob::{Knob, KnobValue};
use model::plan::FailureKind;
use vmtest::TestCgroup;

use crate::cgroup_knobs::{cpus, open, quota, weight};

const ENOENT: i32 = 2;
pub(crate) const EACCES: i32 = 13;
const EBUSY: i32 = 16;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const ENOSPC: i32 = 28;
const ERANGE: i32 = 34;

#[track_caller]
pub(crate) fn check(result: Result<(), WriteError>, kind: FailureKind, errno: i32) {
    let error = result.expect_err("the kernel must refuse this");
    assert_eq!((error.kind(), error.errno()), (kind, Some(errno)), "{error:?}");
}

#[test]
fn smoke_cgroup_values_that_do_not_fit_are_einval() {
    let group = TestCgroup::new("einval");
    let cgroup = open(&group);
    check(write_knob(&cgroup, quota(999, 100_000)), FailureKind::Invalid, EINVAL);
    check(write_knob(&cgroup, quota(5000, 999)), FailureKind::Invalid, EINVAL);
    check(write_knob(&cgroup, quota(5000, 1_000_001)), FailureKind::Invalid, EINVAL);
    // A CPU that this kernel could never have is out of range; a node it could have is only invalid.
    check(write_knob(&cgroup, KnobValue::CpusetCpus(cpus("8"))), FailureKind::Invalid, ERANGE);
    check(write_knob(&cgroup, KnobValue::CpusetCpus(cpus("0-900"))), FailureKind::Invalid, ERANGE);
    // Values that the typed knobs cannot express: what a kernel with other bounds would say.
    for (file, value, errno) in [
        (CgroupFile::CpuIdle, "2", EINVAL),
        (CgroupFile::CpuWeight, "0", ERANGE),
        (CgroupFile::CpuWeight, "10001", ERANGE),
        (CgroupFile::CpuMax, "many", EINVAL),
        (CgroupFile::CpusetCpus, "1-", EINVAL),
        (CgroupFile::CpusetCpus, "3-2", EINVAL),
    ] {
        check(cgroup.write(file, value), FailureKind::Invalid, errno);
    }
    let absent = KnobValue::CpusetMems(model::NumaSet::single(model::NumaNodeId(5)));
    check(write_knob(&cgroup, absent), FailureKind::Invalid, EINVAL);
    check(cgroup.attach(4_000_000), FailureKind::Other, 3);
    let knobs = hostfs::read_knobs(&cgroup);
    assert_eq!(knobs.cpu_max, Some(model::knob::CpuMax::UNLIMITED), "a refused write left a trace");
    assert_eq!(knobs.cpuset_cpus, Some(CpuSet::EMPTY));
}

/// An empty write means "inherit" for an empty group, and is refused once somebody lives in it.
#[test]
fn smoke_cgroup_an_empty_cpuset_for_a_populated_group_is_enospc() {
    let group = TestCgroup::new("enospc");
    let cgroup = open(&group);
    let empty = KnobValue::CpusetCpus(CpuSet::EMPTY);
    write_knob(&cgroup, KnobValue::CpusetCpus(cpus("2-3"))).expect("write");
    write_knob(&cgroup, empty).expect("nobody is in it");
    write_knob(&cgroup, KnobValue::CpusetCpus(cpus("2-3"))).expect("write");
    let _load = group.spin(1, None);
    check(write_knob(&cgroup, empty), FailureKind::NoSpace, ENOSPC);
    assert_eq!(cgroup.cpuset_cpus().expect("cpuset.cpus"), cpus("2-3"));
    // The way out: the parent's effective mask.
    write_knob(&cgroup, KnobValue::CpusetCpus(cpus("0-7"))).expect("write the parent's mask");
}

/// Controllers cannot be given to children while processes live in the parent (the "no internal processes" rule).
#[test]
fn cgroup_a_busy_group_answers_ebusy() {
    let group = TestCgroup::new("ebusy");
    let _load = group.spin(1, None);
    let cgroup = open(&group);
    check(cgroup.enable("memory"), FailureKind::Busy, EBUSY);
    // The same rule from the other side: no process may enter once the children have a domain controller.
    let parent = TestCgroup::new("ebusy-parent");
    parent.pass_on(&["memory"]);
    let elsewhere = TestCgroup::new("ebusy-elsewhere");
    let load = elsewhere.spin(1, None);
    check(open(&parent).attach(load.pid()), FailureKind::Busy, EBUSY);
    let child_guard = parent.child("child");
    let child = open(&child_guard);
    child.attach(load.pid()).expect("a leaf takes processes");
    assert_eq!(child.procs().expect("procs"), [load.pid()]);
    check(child.enable("nonsense"), FailureKind::Invalid, EINVAL);
}

const PERIOD: Duration = Duration::from_millis(100);

/// The one EBUSY that a knob of ours can get: a partition with SCHED_DEADLINE tasks may not shrink under what was
/// promised to them (kernel/cgroup/cpuset.c, `validate_change`). No kernel gives EBUSY to `cpu.idle`, `cpu.weight` or
/// `cpu.max`, nor ENOSPC to anything but a cpuset; those pairs are tried on the actuator's fake alone.
#[test]
fn cgroup_a_partition_with_deadline_tasks_does_not_shrink() {
    let group = TestCgroup::new("deadline");
    let cgroup = open(&group);
    write_knob(&cgroup, KnobValue::CpusetCpus(cpus("6-7"))).expect("write");
    group.write("cpuset.cpus.partition", "root");
    assert_eq!(group.read("cpuset.cpus.partition"), "root");
    // They sleep; what counts is what they may claim: 1.6 CPUs of the 1.9 that two CPUs can promise.
    let sleepers = [group.hold_memory(1), group.hold_memory(1)];
    for sleeper in &sleepers {
        promise(sleeper.pid(), PERIOD * 8 / 10, PERIOD);
    }
    check(write_knob(&cgroup, KnobValue::CpusetCpus(cpus("6"))), FailureKind::Busy, EBUSY);
    assert_eq!(cgroup.cpuset_cpus().expect("cpuset.cpus"), cpus("6-7"), "nothing was taken");
    drop(sleepers);
    // A promise ends with the task, at the latest one of its periods later. 6.1 forgets what has not ended when a
    // partition changes, then takes it off all the same: the sum is below zero ever after, and each CPU that is to go
    // offline is busy until the next boot.
    thread::sleep(10 * PERIOD);
    write_knob(&cgroup, KnobValue::CpusetCpus(cpus("6"))).expect("nobody was promised anything");
    group.write("cpuset.cpus.partition", "member");
}

/// `sched_setattr(2)`: SCHED_DEADLINE with so much of each period.
#[track_caller]
#[expect(unsafe_code, reason = "rustix has no sched_setattr")]
fn promise(pid: u32, runtime: Duration, period: Duration) {
    const SYS_SCHED_SETATTR: i64 = 314;
    const SCHED_DEADLINE: u32 = 6;
    /// `struct sched_attr` of linux/sched/types.h, its first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }
    // SAFETY: the C library's own declaration; how many words follow depends on the call.
    unsafe extern "C" {
        fn syscall(number: i64, ...) -> i64;
    }
    let ns = |time: Duration| u64::try_from(time.as_nanos()).expect("a short time");
    let attributes = Attributes {
        size: 48,
        policy: SCHED_DEADLINE,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime_ns: ns(runtime),
        deadline_ns: ns(period),
        period_ns: ns(period),
    };
    // SAFETY: the kernel reads `size` bytes of the attributes, which live longer than the call.
    let result =
        unsafe { syscall(SYS_SCHED_SETATTR, pid.cast_signed(), &raw const attributes, 0_u32) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// The effective user id belongs to the thread, so one thread can be nobody while the test stays root.
#[test]
fn cgroup_an_unprivileged_writer_is_denied() {
    let group = TestCgroup::new("eacces");
    let cgroup = open(&group);
    thread::scope(|scope| {
        scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("become nobody");
            for value in [
                KnobValue::CpuIdle(true),
                weight(5),
                quota(5000, 100_000),
                KnobValue::CpusetCpus(cpus("0")),
            ] {
                check(write_knob(&cgroup, value), FailureKind::Denied, EACCES);
            }
            let kill = cgroup.kill().expect_err("write-only for root");
            assert_eq!(kill.kind(), FailureKind::Denied);
            // Reading is everybody's.
            read_knob(&cgroup, Knob::CpuWeight).expect("world readable");
        });
    });
    assert_eq!(group.read("cpu.weight"), "100");
}

#[test]
fn smoke_cgroup_that_vanishes_between_read_and_write_is_absent() {
    let group = TestCgroup::new("vanish");
    let cgroup = open(&group);
    // Held: cpu.weight and cpu.stat. Not held: cpuset.cpus.
    write_knob(&cgroup, weight(7)).expect("write");
    cgroup.cpu_stat().expect("cpu.stat");
    assert!(cgroup.is_alive());
    let path = group.path().to_owned();
    group.remove();
    assert!(!cgroup.is_alive());
    let vanished = |result: Result<(), WriteError>| {
        let error = result.expect_err("the group is gone");
        assert!(matches!(error, WriteError::Absent { .. }), "{error:?}");
        assert_eq!(error.kind(), FailureKind::Vanished);
    };
    vanished(write_knob(&cgroup, weight(8)));
    vanished(write_knob(&cgroup, KnobValue::CpuIdle(true)));
    vanished(write_knob(&cgroup, KnobValue::CpusetCpus(cpus("0"))));
    for error in [
        cgroup.cpu_stat().map(drop).expect_err("held"),
        cgroup.events().map(drop).expect_err("never opened"),
        read_knob(&cgroup, Knob::CpusetCpus).map(drop).expect_err("never held"),
    ] {
        assert!(matches!(error, ReadError::Absent { .. }), "{error:?}");
    }
    // Made again under the same name: the old handle must not write to the new group.
    fs::create_dir(&path).expect("make it again");
    vanished(write_knob(&cgroup, KnobValue::CpusetCpus(cpus("0"))));
    let text = fs::read_to_string(path.join("cpuset.cpus")).expect("read the new group");
    fs::remove_dir(&path).expect("remove it again");
    assert_eq!(text, "\n");
}

#[test]
fn cgroup_a_file_this_kernel_lacks_is_enoent_but_not_vanished() {
    let group = TestCgroup::new("lacks");
    let error = fs::write(group.path().join("cpu.nonsense"), "1").expect_err("no such file");
    // Files cannot be made in a cgroup directory; the kernel says EACCES or EPERM to O_CREAT.
    assert!(matches!(error.raw_os_error(), Some(1 | EACCES | ENOENT)), "{error}");
    assert!(open(&group).is_alive());
}
