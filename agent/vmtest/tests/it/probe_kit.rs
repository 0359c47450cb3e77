//! What the probe's tests share: loading it, naming slots, and the kernel's own numbers to compare
//! with. Holds no test.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use model::sample::{SlotSample, WaitCauses};
use model::{CgroupId, CpuSet, Nanos, SlotId, Timestamp};
use probe::{DEFAULT_MAP_BUDGET, Hooks, LoadOptions, ProbeSource as _, ReadPlan, SchedProbe};
use vmtest::TestCgroup;

#[track_caller]
pub(crate) fn load() -> SchedProbe {
    probe::load(Path::new("/"), &plan(), LoadOptions::default()).expect("the probe loads")
}

pub(crate) fn plan() -> ReadPlan {
    probe::read_plan(&probe::probe_host(Path::new("/")), DEFAULT_MAP_BUDGET)
}

/// The plan with only this kind of hook to try.
pub(crate) fn plan_with(kind: Hooks) -> ReadPlan {
    match plan() {
        ReadPlan::Load { cache_slots, timers, maps, .. } => {
            ReadPlan::Load { hooks: vec![kind], cache_slots, timers, maps }
        }
        ReadPlan::Off(reason) => panic!("no probe here: {reason}"),
    }
}

pub(crate) fn id_of(cgroup: &TestCgroup) -> CgroupId {
    let folder = fs::metadata(cgroup.path()).expect("the cgroup exists");
    CgroupId(folder.ino())
}

/// Tracks the cgroups as slots 1, 2, ...
#[track_caller]
pub(crate) fn track(probe: &mut SchedProbe, cgroups: &[&TestCgroup]) {
    for (slot, cgroup) in (1..).map(SlotId).zip(cgroups) {
        probe.track(slot, &[id_of(cgroup)]).expect("the slot is tracked");
    }
}

#[track_caller]
pub(crate) fn read(probe: &mut SchedProbe, slot: u16) -> SlotSample {
    let sample = probe.read(now()).expect("the maps are read");
    sample.slots.get(&SlotId(slot)).cloned().unwrap_or_else(|| panic!("slot {slot} is tracked"))
}

pub(crate) fn now() -> Timestamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Timestamp(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
}

pub(crate) fn cpus(list: &str) -> CpuSet {
    list.parse().expect("a CPU list")
}

pub(crate) fn sleep_ms(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// `/proc/PID/schedstat`: time waited on a run queue, and times switched in.
#[track_caller]
pub(crate) fn schedstat(pid: u32) -> (Nanos, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("schedstat");
    let numbers: Vec<u64> =
        text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    (Nanos(numbers[1]), numbers[2])
}

pub(crate) fn since(after: &WaitCauses, before: &WaitCauses) -> WaitCauses {
    let minus = |after: Nanos, before: Nanos| Nanos(after.0 - before.0);
    let zero = Nanos(0);
    let offenders = after.by_offender.iter();
    WaitCauses {
        total: minus(after.total, before.total),
        by_offender: offenders
            .map(|(slot, ns)| (*slot, minus(*ns, *before.by_offender.get(slot).unwrap_or(&zero))))
            .collect(),
        own_throttle: minus(after.own_throttle, before.own_throttle),
        own_group: minus(after.own_group, before.own_group),
        idle_or_steal: minus(after.idle_or_steal, before.idle_or_steal),
        untracked: minus(after.untracked, before.untracked),
        unknown: minus(after.unknown, before.unknown),
    }
}

/// Within `percent` of the larger one, or within `slack`.
#[track_caller]
pub(crate) fn assert_close(what: &str, left: Nanos, right: Nanos, percent: u64, slack: Nanos) {
    let (small, large) = (left.0.min(right.0), left.0.max(right.0));
    let allowed = large * percent / 100 + slack.0;
    assert!(large - small <= allowed, "{what}: {left} and {right} differ by more than {allowed}");
}
