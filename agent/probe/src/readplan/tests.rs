//! One row per kernel or fault: what is loaded there.

use super::*;
use crate::sizing::DEFAULT_MAP_BUDGET;

fn facts(major: u32, minor: u32) -> HostFacts {
    HostFacts {
        release: Some(KernelRelease { major, minor }),
        btf: Some(true),
        tp_btf: Some(true),
        cgroup_events: Some(true),
        timer_events: Some(true),
        bpf_permitted: Some(true),
        unprivileged_bpf_disabled: Some(2),
        lockdown_confidentiality: Some(false),
        jit: Some(true),
        possible_cpus: Some(8),
        pid_max: Some(4_194_304),
        object: true,
    }
}

fn render(plan: &ReadPlan) -> String {
    match plan {
        ReadPlan::Off(reason) => format!("off: {reason}"),
        ReadPlan::Load { hooks, cache_slots, timers, maps } => format!(
            "{hooks:?} cache={cache_slots:?} timers={timers:?} cpus={} slots={} tasks={}",
            maps.n_cpus, maps.n_slots, maps.n_tasks
        ),
    }
}

#[track_caller]
fn check(facts: &HostFacts, expect: &str) {
    assert_eq!(render(&read_plan(facts, DEFAULT_MAP_BUDGET)), expect);
}

const BEST: &str =
    "[BtfTracepoints, RawTracepoints] cache=Yes timers=Yes cpus=8 slots=1024 tasks=65536";

#[test]
fn kernels() {
    check(&facts(5, 10), "off: kernel 5.10 is older than 5.15, the oldest this probe knows");
    for (major, minor) in [(5, 15), (6, 1), (6, 6), (6, 8), (6, 12), (6, 18), (7, 0)] {
        check(&facts(major, minor), BEST);
    }
}

#[test]
fn faults() {
    let good = facts(6, 1);
    check(
        &HostFacts { object: false, ..good.clone() },
        "off: this program was built without the BPF object; build it with `cargo xtask ebpf`",
    );
    check(
        &HostFacts { btf: Some(false), ..good.clone() },
        "off: the kernel has no BTF (/sys/kernel/btf/vmlinux); it needs CONFIG_DEBUG_INFO_BTF",
    );
    check(
        &HostFacts { bpf_permitted: Some(false), ..good.clone() },
        "off: the process lacks CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN)",
    );
    check(
        &HostFacts { lockdown_confidentiality: Some(true), ..good.clone() },
        "off: kernel lockdown `confidentiality` forbids BPF to read kernel memory",
    );
    check(
        &HostFacts { possible_cpus: Some(1 << 20), ..good.clone() },
        "off: a map budget of 33554432 bytes is too small for 1048576 CPUs",
    );
    check(
        &HostFacts { tp_btf: Some(false), ..good.clone() },
        "[RawTracepoints] cache=Yes timers=Yes cpus=8 slots=1024 tasks=65536",
    );
    check(
        &HostFacts { timer_events: Some(false), ..good.clone() },
        "[BtfTracepoints, RawTracepoints] cache=Yes timers=No cpus=8 slots=1024 tasks=65536",
    );
    check(
        &HostFacts { cgroup_events: Some(false), ..good },
        "[BtfTracepoints, RawTracepoints] cache=No timers=Yes cpus=8 slots=1024 tasks=65536",
    );
}

/// Nothing could be read, but the object is there: it is tried, without trusting anything.
#[test]
fn unknown_is_not_no() {
    check(
        &HostFacts { object: true, ..HostFacts::default() },
        "[BtfTracepoints, RawTracepoints] cache=No timers=No cpus=1024 slots=1024 tasks=32768",
    );
}

#[test]
fn one_cpu_and_few_pids() {
    check(
        &HostFacts { possible_cpus: Some(1), pid_max: Some(300), ..facts(6, 1) },
        "[BtfTracepoints, RawTracepoints] cache=Yes timers=Yes cpus=1 slots=1024 tasks=1024",
    );
}
