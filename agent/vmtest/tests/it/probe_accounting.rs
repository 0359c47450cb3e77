//! On-CPU time per cgroup: the same quantity from cpu.stat and from BPF, the file read before and
//! after.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use model::{Nanos, SlotId};
use probe::{Hooks, LoadOptions, ProbeSource as _, SchedProbe};
use vmtest::{Load, TestCgroup, wait_until};

use crate::cgroup_knobs::measured;
use crate::probe_kit::{assert_close, cpus, id_of, load, plan_with, read, sleep_ms, track};

fn usage(cgroup: &TestCgroup) -> Nanos {
    Nanos(cgroup.read_key("cpu.stat", "usage_usec") * 1000)
}

/// The bar: 1 % + 2 ms.
const SLACK: Nanos = Nanos::from_millis(2);
/// What a running task ran since its CPU's last tick is not in the file.
const TICK: Nanos = Nanos::from_millis(4);
/// For a task that runs to be accounted for; beside another guest an emulated CPU may stand for seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// cpu.stat with everything in it that the load had run when this was called. The file learns of a
/// running task when its CPU accounts for it, at a tick or a switch; an emulated CPU that the host
/// has put aside does neither, and then it is the file that is late. The same accounting moves
/// /proc/PID/schedstat. Seen to move twice, it was gone through once from begin to end.
#[track_caller]
fn usage_up_to_now(cgroup: &TestCgroup, load: &Load) -> Nanos {
    for _ in 0..2 {
        let tasks = ran(load);
        wait_until("every thread of the load to be accounted for", LIMIT, || {
            ran(load).iter().zip(&tasks).all(|(now, then)| now != then)
        });
    }
    usage(cgroup)
}

/// `/proc/PID/task/*/schedstat`: time on a CPU, of each thread.
#[track_caller]
fn ran(load: &Load) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", load.pid())).expect("the load runs");
    let tasks = tasks.map(|task| task.expect("a thread").path().join("schedstat"));
    let text = tasks.map(|path| fs::read_to_string(path).expect("schedstat"));
    text.map(|text| text.split(' ').next().unwrap_or_default().to_owned()).collect()
}

/// File, BPF, file. Each is true of some time, and those times are in this order.
struct Sandwich {
    before: Nanos,
    ours: Nanos,
    after: Nanos,
}

impl Sandwich {
    #[track_caller]
    fn take(probe: &mut SchedProbe, slot: u16, cgroup: &TestCgroup, load: &Load) -> Sandwich {
        let before = usage(cgroup);
        let ours = read(probe, slot).on_cpu;
        Sandwich { before, ours, after: usage_up_to_now(cgroup, load) }
    }

    fn allowed(&self) -> u64 {
        self.ours.0 / 100 + SLACK.0
    }

    /// Between the two, by the bar and with no further allowance.
    #[track_caller]
    fn check(&self, what: &str) {
        let Sandwich { before, ours, after } = self;
        let holds = ours.0 + self.allowed() >= before.0 && ours.0 <= after.0 + self.allowed();
        assert!(holds, "{what}: BPF says {ours}, the file {before} and then {after}");
    }

    /// Whether an error of twice the bar could not have passed.
    fn is_thin(&self) -> bool {
        self.after.0 - self.before.0 <= 2 * self.allowed()
    }
}

#[test]
fn smoke_on_cpu_time_agrees_with_cpu_stat() {
    let [spinner, sleeper] = ["spinner", "sleepy"].map(TestCgroup::new);
    let mut probe = load();
    track(&mut probe, &[&spinner, &sleeper]);
    let spin = spinner.spin(1, Some(&cpus("2")));
    let periodic =
        sleeper.periodic(Duration::from_millis(10), Duration::from_millis(3), Some(&cpus("3")));
    // Every one must hold; ten of each must be thin enough to mean something.
    let (began, mut thin, mut taken) = (Instant::now(), [0, 0], 0);
    while thin.iter().any(|n| *n < 10) {
        assert!(began.elapsed() < 2 * LIMIT, "{thin:?} thin ones of {taken} in {:?}", 2 * LIMIT);
        sleep_ms(100);
        let spun = Sandwich::take(&mut probe, 1, &spinner, &spin);
        let slept = Sandwich::take(&mut probe, 2, &sleeper, &periodic);
        spun.check("the spinner");
        slept.check("the sleeper");
        thin[0] += u32::from(spun.is_thin());
        thin[1] += u32::from(slept.is_thin());
        taken += 1;
    }
    measured(&format!("on_cpu_sandwiches {taken} thin {thin:?}"));
    // Nothing runs any more, so nobody can be late.
    drop((spin, periodic));
    sleep_ms(100);
    assert_close("spun", read(&mut probe, 1).on_cpu, usage(&spinner), 1, SLACK);
    assert_close("slept", read(&mut probe, 2).on_cpu, usage(&sleeper), 1, SLACK);
    assert!(usage(&spinner) > Nanos::from_millis(500), "it did run");
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
    // It sleeps now and then: what never leaves the CPU after it has joined a cgroup counts there
    // from its next switch on, see `a_move_while_running_splits_the_time`.
    let (period, work) = (Duration::from_millis(20), Duration::from_millis(10));
    let load = nested.periodic(period, work, Some(&cpus("4")));
    sleep_ms(1500);
    let sandwich = Sandwich::take(&mut probe, 1, &pod, &load);
    sandwich.check("a grandchild");
    assert!(sandwich.ours > Nanos::from_millis(300), "{}", sandwich.ours);
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
    let load = spinner.spin(2, Some(&cpus("2")));
    sleep_ms(1500);
    Sandwich::take(&mut probe, 1, &spinner, &load).check("raw tracepoints");
    let ours = read(&mut probe, 1);
    assert!(ours.causes.own_group > Nanos::from_millis(200), "{:?}", ours.causes);
}
