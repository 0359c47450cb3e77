//! What the kernel tells by itself: PSI triggers, freezing, killing, CPUs that go away.

use std::fs;
use std::time::{Duration, Instant};

use hostfs::cgroup::read::PressureOf;
use hostfs::cgroup::trigger::{PsiTrigger, Woken};
use hostfs::psi::{Stalled, Threshold};
use hostfs::{HostRoot, read_knobs, read_topology, write_knob};
use model::knob::KnobValue;
use model::plan::FailureKind;
use model::{CpuId, Micros, NumaNodeId};
use vmtest::{TestCgroup, guest, wait_until};

use crate::cgroup_knobs::{cpus, measured, open};

/// Under emulation beside another VM a second may take several.
const LIMIT: Duration = Duration::from_secs(20);

fn threshold(stall_ms: u64, window_ms: u64) -> Threshold {
    Threshold::new(Stalled::Some, Micros(stall_ms * 1000), Micros(window_ms * 1000))
        .expect("a valid threshold")
}

#[test]
fn smoke_cgroup_a_psi_trigger_fires_under_load_and_not_before() {
    let group = TestCgroup::new("psi");
    let cgroup = open(&group);
    let trigger = PsiTrigger::arm(&cgroup, PressureOf::Cpu, threshold(150, 1000)).expect("arm");
    assert_eq!(trigger.wait(Duration::from_millis(300)).expect("poll"), Woken::TimedOut);
    let one = cpus("3");
    let began = Instant::now();
    let _hogs = [group.spin(1, Some(&one)), group.spin(1, Some(&one))];
    assert_eq!(trigger.wait(LIMIT).expect("poll"), Woken::Fired);
    let took = began.elapsed();
    measured(&format!("psi_trigger_ms {}", took.as_millis()));
    assert!(took < Duration::from_secs(5), "the trigger took {took:?}");
    let pressure = cgroup.pressure(PressureOf::Cpu).expect("cpu.pressure");
    assert!(pressure.some.total > Micros(100_000), "{pressure:?}");
}

#[test]
fn cgroup_a_psi_trigger_ends_with_its_group_and_the_host_has_one_too() {
    let group = TestCgroup::new("psi-gone");
    let trigger =
        PsiTrigger::arm(&open(&group), PressureOf::Memory, threshold(100, 500)).expect("arm");
    group.remove();
    assert_eq!(trigger.wait(LIMIT).expect("poll"), Woken::Gone);
    let host = HostRoot::new("/");
    let trigger = PsiTrigger::arm_host(&host, PressureOf::Io, threshold(400, 500)).expect("arm");
    assert_eq!(trigger.wait(Duration::from_millis(200)).expect("poll"), Woken::TimedOut);
    let gone = TestCgroup::new("psi-never");
    let cgroup = open(&gone);
    gone.remove();
    let error = PsiTrigger::arm(&cgroup, PressureOf::Cpu, threshold(100, 500)).expect_err("gone");
    assert_eq!(error.kind(), FailureKind::Vanished);
}

#[test]
fn smoke_cgroup_freezes_thaws_and_kills() {
    let group = TestCgroup::new("freeze");
    let cgroup = open(&group);
    assert!(!cgroup.events().expect("events").populated);
    let _load = group.spin(2, None);
    assert!(cgroup.events().expect("events").populated);
    cgroup.freeze().expect("freeze");
    assert!(cgroup.freeze_asked().expect("cgroup.freeze"));
    let frozen = || cgroup.events().expect("events").frozen == Some(true);
    wait_until("the group to freeze", LIMIT, frozen);
    let usage = || cgroup.cpu_stat().expect("cpu.stat").usage;
    let before = usage();
    std::thread::sleep(Duration::from_millis(300));
    assert!(usage().0 - before.0 < 20_000, "a frozen group ran");
    cgroup.thaw().expect("thaw");
    wait_until("the group to run again", LIMIT, || usage().0 > before.0 + 50_000);
    cgroup.kill().expect("kill");
    wait_until("the group to empty", LIMIT, || !cgroup.events().expect("events").populated);
    // A killed child is a zombie until its parent waits for it, and still listed.
    drop(_load);
    assert_eq!(cgroup.procs().expect("procs"), Vec::<u32>::new());
}

/// Puts the CPU back whatever the test ends with.
struct Offline(u16);

impl Offline {
    fn take(cpu: u16) -> Offline {
        fs::write(Offline::file(cpu), "0").expect("take the CPU offline");
        Offline(cpu)
    }

    fn file(cpu: u16) -> String {
        format!("/sys/devices/system/cpu/cpu{cpu}/online")
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        // A CPU that stays away fails the environment test of the next run.
        drop(fs::write(Offline::file(self.0), "1"));
    }
}

#[test]
fn smoke_cgroup_a_cpu_that_goes_offline_leaves_its_cpusets_and_the_topology() {
    guest();
    let host = HostRoot::new("/");
    let before = read_topology(&host).expect("topology");
    assert_eq!((before.n_online(), before.nodes.len()), (8, 2));
    let group = TestCgroup::new("offline");
    let cgroup = open(&group);
    write_knob(&cgroup, KnobValue::CpusetCpus(cpus("5-6"))).expect("write");
    let hogs = group.spin(2, None);
    {
        let _offline = Offline::take(6);
        let knobs = read_knobs(&cgroup);
        assert_eq!(knobs.cpuset_cpus, Some(cpus("5-6")), "the wish stays");
        assert_eq!(knobs.cpuset_effective, Some(cpus("5")), "what it means shrinks");
        let now = read_topology(&host).expect("topology");
        assert_eq!(now.offline, cpus("6"));
        assert!(!now.online().contains(CpuId(6)));
        assert_eq!(now.cpus_of_node(NumaNodeId(1)), cpus("4-5,7"));
        let usage = cgroup.cpu_stat().expect("cpu.stat").usage;
        wait_until("the hogs to run on", LIMIT, || {
            cgroup.cpu_stat().expect("cpu.stat").usage.0 > usage.0 + 50_000
        });
    }
    wait_until("the CPU to come back", LIMIT, || {
        read_knobs(&cgroup).cpuset_effective == Some(cpus("5-6"))
    });
    assert_eq!(read_topology(&host).expect("topology"), before);
    drop(hogs);
}

/// QEMU was asked for two sockets of four CPUs with two nodes: the machine must say so.
#[test]
fn smoke_cgroup_topology_of_the_guest_is_what_qemu_was_asked_for() {
    let asked = guest();
    let topology = read_topology(&HostRoot::new("/")).expect("topology");
    assert_eq!(topology.n_online(), asked.cpus as usize);
    assert_eq!(topology.nodes.len(), asked.numa_nodes as usize);
    assert_eq!(topology.sockets().len(), asked.numa_nodes as usize);
    for node in topology.nodes.values() {
        assert_eq!(node.cpus.len(), (asked.cpus / asked.numa_nodes) as usize, "{node:?}");
        assert!(node.memory.is_some() && node.distances[&node.id] == 10, "{node:?}");
        assert_eq!(node.distances.len(), asked.numa_nodes as usize, "{node:?}");
    }
}
