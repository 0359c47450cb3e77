//! Is this the machine that was asked for? When it is not, this says so instead of letting the other tests
//! pass by comparing nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vmtest::{ROOT, TestCgroup, guest, wait_until};

#[test]
fn smoke_environment_is_what_we_asked_for() {
    let guest = guest();
    let release = read("/proc/sys/kernel/osrelease");
    assert!(
        release.starts_with(&format!("{}.", guest.kernel_series)),
        "kernel {release}, {guest:?}"
    );
    let cpus: model::CpuSet =
        read("/sys/devices/system/cpu/online").parse().expect("the online CPU list parses");
    assert_eq!(cpus.len(), guest.cpus as usize, "{cpus}");
    let nodes: model::CpuSet =
        read("/sys/devices/system/node/online").parse().expect("the node list parses");
    assert_eq!(nodes.len(), guest.numa_nodes as usize, "{nodes}");
    assert_eq!(rustix::process::geteuid().as_raw(), 0, "root");
}

#[test]
fn smoke_all_controllers_are_on_below_the_root() {
    guest();
    let on = read(&format!("{ROOT}/cgroup.subtree_control"));
    for controller in ["cpu", "cpuset", "io", "memory", "pids"] {
        assert!(on.split(' ').any(|name| name == controller), "{controller} is not in {on:?}");
    }
    let below = TestCgroup::new("controllers");
    assert_eq!(below.read("cgroup.controllers"), on);
}

/// Without these a guest can stand still for ever, see `tracepoints` and xtask's init.sh.
#[test]
fn smoke_what_would_rewrite_kernel_code_is_held_on() {
    guest();
    assert_eq!(read(&format!("{ROOT}/held/cpu.max")), "1000000 1000000", "a quota");
    for event in ["sched/sched_switch", "timer/hrtimer_expire_entry"] {
        let listeners = fs::read_dir("/sys/kernel/tracing/instances").expect("trace instances");
        let switch = format!("events/{event}/enable");
        let on = listeners.flatten().filter(|at| {
            fs::read_to_string(at.path().join(&switch)).is_ok_and(|text| text.starts_with('1'))
        });
        assert_eq!(on.count(), 2, "listeners of {event}");
    }
}

#[test]
fn smoke_kernel_describes_itself_and_its_pressure() {
    guest();
    let btf = fs::read("/sys/kernel/btf/vmlinux").expect("BTF");
    assert!(btf.starts_with(&[0x9f, 0xeb]), "BTF magic, got {:x?}", &btf[..2]);
    for file in ["cpu.pressure", "memory.pressure", "io.pressure"] {
        assert!(read(&format!("{ROOT}/{file}")).starts_with("some avg10="), "{file}");
    }
    assert!(
        Path::new("/sys/kernel/tracing/events/sched/sched_switch").exists(),
        "scheduler tracepoints"
    );
    assert!(fs::metadata("/sys/fs/bpf").is_ok_and(|place| place.is_dir()), "bpffs");
}

#[test]
fn smoke_load_is_charged_to_its_cgroup_and_dies_with_it() {
    let cgroup = TestCgroup::new("load");
    let idle = cgroup.read_key("cpu.stat", "usage_usec");
    let cpus: model::CpuSet = "1".parse().expect("a CPU list");
    let load = cgroup.spin(2, Some(&cpus));
    let pid = load.pid();
    wait_until("200 ms of CPU time", Duration::from_secs(20), || {
        cgroup.read_key("cpu.stat", "usage_usec") > idle + 200_000
    });
    assert!(cgroup.read("cgroup.procs").lines().any(|line| line == pid.to_string()));
    let path = cgroup.path().to_owned();
    cgroup.remove();
    assert!(!path.exists());
    drop(load);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the load outlived its cgroup");
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("read {path}: {error}"))
        .trim_end()
        .to_owned()
}
