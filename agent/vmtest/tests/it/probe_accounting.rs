//! On-CPU time per cgroup: the same quantity from cpu.stat and from BPF, the file read before and
//! after.

use model::{Nanos, SlotId};
use probe::{Hooks, LoadOptions, ProbeSource as _};
use std::path::Path;
use std::time::Duration;
use vmtest::TestCgroup;

use crate::probe_kit::{assert_close, cpus, id_of, load, plan_with, read, sleep_ms, track};

fn usage(cgroup: &TestCgroup) -> Nanos {
    Nanos(cgroup.read_key("cpu.stat", "usage_usec") * 1000)
}

/// What the issue allows: 1 % + 2 ms. The file itself lags by a tick (4 ms) for what is running.
const SLACK: Nanos = Nanos::from_millis(2);
const TICK: Nanos = Nanos::from_millis(4);

fn agree(before: Nanos, ours: Nanos, after: Nanos) -> bool {
    let allowed = ours.0 / 100 + SLACK.0;
    ours.0 + allowed >= before.0 && ours.0 <= after.0 + TICK.0 + allowed
}

#[track_caller]
fn agrees(what: &str, before: Nanos, ours: Nanos, after: Nanos) {
    assert!(agree(before, ours, after), "{what}: BPF says {ours}, the file {before} to {after}");
}

#[test]
fn smoke_on_cpu_time_agrees_with_cpu_stat() {
    let [spinner, sleeper] = ["spinner", "sleepy"].map(TestCgroup::new);
    let mut probe = load();
    track(&mut probe, &[&spinner, &sleeper]);
    let spin = spinner.spin(1, Some(&cpus("2")));
    let periodic =
        sleeper.periodic(Duration::from_millis(10), Duration::from_millis(3), Some(&cpus("3")));
    // The file learns of a running task at its CPU's tick, and an emulated CPU that the host has
    // put aside has none: then the file is late, not BPF wrong. So it is asked more than once, and
    // it must agree more often than by chance.
    let (mut agreed, mut seen) = (0, String::new());
    for _ in 0..20 {
        sleep_ms(200);
        let before = (usage(&spinner), usage(&sleeper));
        let ours = probe.read(crate::probe_kit::now()).expect("the maps are read");
        let after = (usage(&spinner), usage(&sleeper));
        let (spun, slept) = (ours.slots[&SlotId(1)].on_cpu, ours.slots[&SlotId(2)].on_cpu);
        let both = agree(before.0, spun, after.0) && agree(before.1, slept, after.1);
        agreed += u32::from(both);
        seen += &format!("\n{before:?} ({spun:?}, {slept:?}) {after:?}");
    }
    assert!(agreed >= 8, "agreed {agreed} times of 20:{seen}");
    // Nothing runs any more, so nobody can be late.
    drop((spin, periodic));
    sleep_ms(100);
    assert_close("spun", read(&mut probe, 1).on_cpu, usage(&spinner), 1, SLACK);
    assert_close("slept", read(&mut probe, 2).on_cpu, usage(&sleeper), 1, SLACK);
    assert!(usage(&spinner) > Nanos::from_millis(500), "it did run");
}

/// In virtual time no CPU is ever put aside, so every single reading must agree. The file knows what
/// a task ran up to its last tick.
#[test]
fn exact_on_cpu_time_agrees_with_cpu_stat_at_every_reading() {
    let [spinner, sleeper] = ["spinner", "sleepy"].map(TestCgroup::new);
    let mut probe = load();
    track(&mut probe, &[&spinner, &sleeper]);
    let _spin = spinner.spin(2, Some(&cpus("2")));
    let (every, busy) = (Duration::from_millis(10), Duration::from_millis(3));
    let _periodic = sleeper.periodic(every, busy, Some(&cpus("3")));
    for _ in 0..20 {
        sleep_ms(100);
        let before = (usage(&spinner), usage(&sleeper));
        let ours = probe.read(crate::probe_kit::now()).expect("the maps are read");
        let after = (usage(&spinner), usage(&sleeper));
        agrees("a spinner", before.0, ours.slots[&SlotId(1)].on_cpu, after.0);
        agrees("a sleeper", before.1, ours.slots[&SlotId(2)].on_cpu, after.1);
    }
    assert!(usage(&spinner) > Nanos::from_millis(1500), "it did run");
    assert!(usage(&sleeper) > Nanos::from_millis(200), "it did run");
}

/// Only the parent is tracked, and the child does not exist yet when it is.
#[test]
fn smoke_a_child_cgroup_made_later_counts_for_its_workload() {
    let pod = TestCgroup::new("pod");
    let mut probe = load();
    track(&mut probe, &[&pod]);
    sleep_ms(100);
    let container = pod.child("container");
    let nested = container.child("nested");
    let _load = nested.spin(1, Some(&cpus("4")));
    sleep_ms(1500);
    let before = usage(&pod);
    let ours = read(&mut probe, 1).on_cpu;
    agrees("a grandchild", before, ours, usage(&pod));
    assert!(ours > Nanos::from_millis(300), "{ours}");
}

/// A process is moved while it runs and, alone on its CPU, is hardly ever switched out.
#[test]
fn a_move_while_running_splits_the_time() {
    let [from, to] = ["from", "to"].map(TestCgroup::new);
    let mut probe = load();
    track(&mut probe, &[&from, &to]);
    let load = from.spin(1, Some(&cpus("5")));
    sleep_ms(1000);
    to.write("cgroup.procs", &load.pid().to_string());
    sleep_ms(1000);
    // Whatever has not been switched out by now is switched out here.
    drop(load);
    sleep_ms(50);
    let (old, new) = (read(&mut probe, 1).on_cpu, read(&mut probe, 2).on_cpu);
    assert_close("before the move", old, usage(&from), 1, Nanos(SLACK.0 + TICK.0));
    assert_close("after the move", new, usage(&to), 1, Nanos(SLACK.0 + TICK.0));
}

/// Tracking begins while the load has long been running.
#[test]
fn a_load_that_was_there_first_counts_from_now() {
    let early = TestCgroup::new("early");
    let spinner = early.spin(1, Some(&cpus("1")));
    sleep_ms(500);
    let mut probe = load();
    let at_start = usage(&early);
    track(&mut probe, &[&early]);
    sleep_ms(3000);
    drop(spinner);
    sleep_ms(50);
    let counted = Nanos(usage(&early).0 - at_start.0);
    // At the start the file may be late by as long as the host puts an emulated CPU aside.
    let late = Nanos::from_millis(300);
    assert_close("since tracked", read(&mut probe, 1).on_cpu, counted, 1, late);
    assert!(counted > Nanos::from_millis(1000), "{counted}");
}

/// The fallback for kernels that refuse BTF-typed programs counts the same.
#[test]
fn smoke_raw_tracepoints_count_the_same() {
    let spinner = TestCgroup::new("raw");
    let plan = plan_with(Hooks::RawTracepoints);
    let mut probe =
        probe::load(Path::new("/"), &plan, LoadOptions::default()).expect("the fallback loads");
    probe.track(SlotId(1), &[id_of(&spinner)]).expect("the slot is tracked");
    let _load = spinner.spin(2, Some(&cpus("2")));
    sleep_ms(1500);
    let before = usage(&spinner);
    let ours = read(&mut probe, 1);
    agrees("raw tracepoints", before, ours.on_cpu, usage(&spinner));
    assert!(ours.causes.own_group > Nanos::from_millis(200), "{:?}", ours.causes);
}
