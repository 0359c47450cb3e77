//! What the kernel refuses, with which errno, and what `hostfs` makes of it. Measured on 6.1 and 6.12; a kernel
//! that answers differently fails here and not on a node.

use std::fs;
use std::thread;

use hostfs::{ReadError, WriteError, read_knob, write_knob};
use model::CpuSet;
use model::knob::{Knob, KnobValue};
use model::plan::FailureKind;
use vmtest::TestCgroup;

use crate::cgroup_knobs::{cpus, open, quota, weight};

const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const ERANGE: i32 = 34;

#[track_caller]
fn check(result: Result<(), WriteError>, kind: FailureKind, errno: i32) {
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
    check(cgroup.set_cpuset_mems([model::NumaNodeId(5)]), FailureKind::Invalid, EINVAL);
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

/// The effective user id belongs to the thread, so one thread can be nobody while the test stays root.
#[test]
fn cgroup_an_unprivileged_writer_is_denied() {
    let group = TestCgroup::new("eacces");
    let cgroup = open(&group);
    thread::scope(|scope| {
        scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("become nobody");
            check(write_knob(&cgroup, weight(5)), FailureKind::Denied, EACCES);
            check(
                write_knob(&cgroup, KnobValue::CpusetCpus(cpus("0"))),
                FailureKind::Denied,
                EACCES,
            );
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
