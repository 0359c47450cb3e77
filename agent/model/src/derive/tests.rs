//! Rates row by row: the arithmetic is in the comments. Resets, jumps and gaps each have a row.

use super::*;
use crate::qos::{CgroupPath, QosLevel};
use crate::sample::{MemoryStat, NodeUse, NodeUses, SourceFault, WorkloadSpec};
use crate::topology::Shape;
use crate::units::{Bytes, CgroupId, CpuId, NumaNodeId};

const SECOND: u64 = 1_000_000_000;

fn two_cpus() -> Arc<Topology> {
    Arc::new(Topology::synthetic(Shape {
        sockets: 1,
        nodes_per_socket: 2,
        llcs_per_node: 1,
        cores_per_llc: 1,
        threads_per_core: 1,
        memory_per_node: Bytes(1 << 30),
    }))
}

fn workload(at: u64, usage_us: u64) -> WorkloadSample {
    WorkloadSample {
        spec: WorkloadSpec::plain(QosLevel::SharedCores, MilliCpu(500)),
        cgroup: CgroupPath::from("/web"),
        cgroup_id: CgroupId(7),
        slot: SlotId(1),
        at: Timestamp(at),
        populated: true,
        cpu_stat: Some(CpuStat { usage: Micros(usage_us), ..CpuStat::default() }),
        cpu_pressure: None,
        memory_current: None,
        seldom: std::sync::Arc::default(),
        knobs: crate::knob::Knobs::default(),
        containers: None,
        errors: Vec::new(),
    }
}

fn sample(at: u64, workload: WorkloadSample) -> Sample {
    let at = Timestamp(at);
    Sample {
        at,
        topology: Source::fresh(at, two_cpus()),
        workloads: Source::fresh(at, BTreeMap::from([(WorkloadName::from("web"), workload)])),
        ..Sample::default()
    }
}

#[track_caller]
fn check_usage(before: (u64, u64), now: (u64, u64), expect: Option<u64>) {
    let previous = sample(before.0, workload(before.0, before.1));
    let current = sample(now.0, workload(now.0, now.1));
    let snapshot = derive(Some(&previous), &current, &DeriveLimits::default()).expect("derived");
    assert_eq!(snapshot.workloads["web"].usage, expect.map(MilliCpu));
}

#[test]
fn usage_is_time_run_over_time_passed() {
    // 500 ms in 1 s is half a CPU
    check_usage((SECOND, 0), (2 * SECOND, 500_000), Some(500));
    // 3 s in 2 s is one and a half
    check_usage((SECOND, 100), (3 * SECOND, 3_000_100), Some(1500));
    check_usage((SECOND, 100), (2 * SECOND, 100), Some(0));
    // the counter was reset, the clock stood still, ran backwards, or jumped a minute ahead
    check_usage((SECOND, 900), (2 * SECOND, 100), None);
    check_usage((SECOND, 0), (SECOND, 500), None);
    check_usage((5 * SECOND, 0), (SECOND, 500), None);
    check_usage((SECOND, 0), (90 * SECOND, 500), None);
}

#[test]
fn the_first_sample_and_a_recreated_group_have_no_rates() {
    let current = sample(SECOND, workload(SECOND, 5));
    let first = derive(None, &current, &DeriveLimits::default()).expect("derived");
    assert_eq!(first.workloads["web"].usage, None);

    let mut other = workload(0, 1);
    other.cgroup_id = CgroupId(6);
    let recreated =
        derive(Some(&sample(1, other)), &current, &DeriveLimits::default()).expect("derived");
    assert_eq!(recreated.workloads["web"].usage, None);
}

#[track_caller]
fn check_throttled(before: (u64, u64), now: (u64, u64), expect: Option<f64>) {
    let stat = |(periods, throttled)| CpuStat {
        nr_periods: Some(periods),
        nr_throttled: Some(throttled),
        ..CpuStat::default()
    };
    assert_eq!(throttled_ratio(&stat(before), &stat(now)), expect);
}

#[test]
fn throttling_is_periods_hit_over_periods_ended() {
    check_throttled((10, 2), (20, 7), Some(0.5));
    check_throttled((10, 2), (10, 2), Some(0.0));
    check_throttled((10, 2), (4, 0), None);
    assert_eq!(throttled_ratio(&CpuStat::default(), &CpuStat::default()), None);
}

fn host(idle_us: u64, user_us: u64, steal_us: u64) -> HostSample {
    let times = CpuTimes {
        idle: Micros(idle_us),
        user: Micros(user_us),
        steal: Micros(steal_us),
        ..CpuTimes::default()
    };
    HostSample {
        cpus: BTreeMap::from([(CpuId(0), times), (CpuId(1), times)]),
        ..HostSample::default()
    }
}

fn probe(long_waits: u64, own_group: u64) -> ProbeSample {
    let mut slot = SlotSample::default();
    slot.waits.buckets[20] = long_waits;
    slot.causes.total = Nanos(own_group + 10);
    slot.causes.own_group = Nanos(own_group);
    ProbeSample { slots: BTreeMap::from([(SlotId(1), slot)]), ..ProbeSample::default() }
}

#[track_caller]
fn check_signal(probe_at: Option<u64>, steal_us: u64, expect: &str) -> Snapshot {
    let mut previous = sample(SECOND, workload(SECOND, 0));
    let mut current = sample(9 * SECOND, workload(9 * SECOND, 0));
    previous.host = Source::fresh(previous.at, host(0, 0, 0));
    current.host = Source::fresh(current.at, host(800_000 - steal_us, 200_000, steal_us));
    match probe_at {
        Some(at) => {
            previous.probe = Source::fresh(previous.at, probe(3, 100));
            current.probe = Source::fresh(Timestamp(at), probe(13, 400));
        }
        None => current.probe.fault = Some(SourceFault::Unsupported { why: "no BTF".to_owned() }),
    }
    let snapshot = derive(Some(&previous), &current, &DeriveLimits::default()).expect("derived");
    let signal = format!("{:?}", snapshot.signal);
    assert!(signal.starts_with(expect), "{signal}");
    snapshot
}

#[test]
fn the_signal_is_named_by_what_distorts_it() {
    let good = check_signal(Some(9 * SECOND), 0, "Good");
    assert_eq!(good.host.busy_ratio, Some(0.2));
    // exactly a tenth is still good, more is not
    check_signal(Some(9 * SECOND), 100_000, "Good");
    check_signal(Some(9 * SECOND), 100_010, "Degraded { why: \"the hypervisor takes 10.0 %\"");
    check_signal(Some(5 * SECOND), 0, "Degraded { why: \"the newest BPF reading is 4000 ms old\"");
    check_signal(None, 0, "None { why: \"no BPF: Unsupported");
    let mut current = sample(SECOND, workload(SECOND, 0));
    current.host = Source::fresh(
        current.at,
        HostSample { cpu_pressure: Some(crate::sample::Pressure::default()), ..host(0, 0, 0) },
    );
    let snapshot = derive(None, &current, &DeriveLimits::default()).expect("derived");
    assert!(matches!(snapshot.signal, Signal::PressureOnly { .. }));
}

#[test]
fn causes_are_of_the_interval_and_sum_to_the_total() {
    let snapshot = check_signal(Some(9 * SECOND), 0, "Good");
    let runq = snapshot.workloads["web"].runq.as_ref().expect("probe was read twice");
    assert_eq!(runq.waits.count(), 10);
    assert_eq!(runq.causes.own_group, Nanos(300));
    assert_eq!(runq.causes.total, Nanos(300));
    // a reset: 40 of a total of 50 are known now, ten are nobody's
    let before = WaitCauses { total: Nanos(900), own_group: Nanos(900), ..WaitCauses::default() };
    let now = WaitCauses { total: Nanos(50), own_group: Nanos(40), ..WaitCauses::default() };
    let delta = causes_between(&before, &now);
    assert_eq!((delta.own_group, delta.unknown, delta.total), (Nanos(40), Nanos(10), Nanos(50)));
}

/// Counters of one pod: ran, waited for a CPU, held by its own quota; in ms.
#[track_caller]
fn check_runnable(before: [u64; 3], now: [u64; 3], (at, read_at): (u64, u64), expect: Option<f64>) {
    let read = |[ran, waited, throttled]: [u64; 3]| {
        let mut slot = SlotSample { on_cpu: Nanos::from_millis(ran), ..SlotSample::default() };
        slot.causes.total = Nanos::from_millis(waited + throttled);
        slot.causes.own_group = Nanos::from_millis(waited);
        slot.causes.own_throttle = Nanos::from_millis(throttled);
        ProbeSample { slots: BTreeMap::from([(SlotId(1), slot)]), ..ProbeSample::default() }
    };
    let mut previous = sample(SECOND, workload(SECOND, 0));
    let mut current = sample(at * SECOND, workload(at * SECOND, 0));
    previous.probe = Source::fresh(previous.at, read(before));
    current.probe = Source::fresh(Timestamp(read_at * SECOND), read(now));
    let snapshot = derive(Some(&previous), &current, &DeriveLimits::default()).expect("derived");
    let runnable = snapshot.workloads["web"].runq.as_ref().and_then(|runq| runq.runnable);
    assert_eq!(runnable, expect, "{before:?} {now:?} read at {read_at} of {at}");
}

#[test]
fn runnable_tasks_are_time_run_and_waited_over_time_passed() {
    // one task that never waits; two that share a CPU; four that have two CPUs
    check_runnable([0, 0, 0], [1000, 0, 0], (2, 2), Some(1.0));
    check_runnable([0, 0, 0], [1000, 1000, 0], (2, 2), Some(2.0));
    check_runnable([500, 500, 0], [2500, 2500, 0], (2, 2), Some(4.0));
    // nobody ran; half a task; two seconds between the readings
    check_runnable([500, 0, 0], [500, 0, 0], (2, 2), Some(0.0));
    check_runnable([0, 0, 0], [500, 0, 0], (2, 2), Some(0.5));
    check_runnable([0, 0, 0], [2000, 4000, 0], (3, 3), Some(3.0));
    // what its own quota holds waits for no CPU
    check_runnable([0, 0, 0], [500, 0, 7000], (2, 2), Some(0.5));
    // the counters began anew: 300 ms since
    check_runnable([5000, 9000, 0], [200, 100, 0], (2, 2), Some(0.3));
    // a reading that is three seconds old, one that is older
    check_runnable([0, 0, 0], [1000, 0, 0], (5, 2), Some(1.0));
    check_runnable([0, 0, 0], [1000, 0, 0], (6, 2), None);
}

/// The agent was stopped for ten seconds, or the clock jumped: both readings are good, what lies
/// between is not one interval.
#[test]
fn no_rate_is_formed_over_a_gap() {
    let at = |seconds: u64, count: u64| {
        let mut workload = workload(seconds * SECOND, count * 100_000);
        workload.cpu_stat = workload.cpu_stat.map(|stat| CpuStat {
            nr_periods: Some(count * 10),
            nr_throttled: Some(count),
            ..stat
        });
        let mut sample = sample(seconds * SECOND, workload);
        sample.host = Source::fresh(sample.at, host(count * 1_000_000, count * 1_000_000, 0));
        sample.probe = Source::fresh(sample.at, probe(count, count));
        sample
    };
    let rates = |before: u64, now: u64| {
        let (before, now) = (at(before, 1), at(now, 2));
        let snapshot = derive(Some(&before), &now, &DeriveLimits::default()).expect("derived");
        let web = &snapshot.workloads["web"];
        [
            web.usage.is_some(),
            web.throttled_ratio.is_some(),
            web.runq.is_some(),
            snapshot.host.busy_ratio.is_some(),
            snapshot.host.steal_ratio.is_some(),
            !snapshot.host.cpu_busy_ratio.is_empty(),
        ]
    };
    assert_eq!(rates(1, 2), [true; 6], "a tick");
    assert_eq!(rates(1, 4), [true; 6], "two late ticks");
    assert_eq!(rates(1, 11), [false; 6], "stopped for ten seconds");
    assert_eq!(rates(1, 86_400), [false; 6], "suspended for a day");
    assert_eq!(rates(9, 2), [false; 6], "the clock went back");
    assert_eq!(rates(2, 2), [false; 6], "the clock stood");
}

fn with_io(before: Option<(u64, &[u64])>, now: (u64, &[u64])) -> IoView {
    let reading = |(seconds, read): (u64, &[u64])| Reading {
        at: Timestamp(seconds * SECOND),
        value: read.iter().map(|n| IoStat { read: Bytes(*n), ..IoStat::default() }).collect(),
    };
    let seldom = SeldomSample {
        io_stat: Source { latest: Some(reading(now)), fault: None },
        io_stat_before: before.map(reading),
        ..SeldomSample::default()
    };
    io_view(&seldom, Timestamp(now.0 * SECOND + 3), &DeriveLimits::default())
}

#[test]
fn io_is_bytes_of_all_devices_over_the_time_between_readings() {
    let rate = |before, now| with_io(before, now).read.map(|bytes| bytes.0);
    assert_eq!(rate(Some((10, &[100, 200])), (20, &[600, 700])), Some(100));
    assert_eq!(rate(Some((10, &[])), (20, &[])), Some(0));
    // the first reading, a gap, a device that went away
    assert_eq!(rate(None, (20, &[600])), None);
    assert_eq!(rate(Some((10, &[100])), (40, &[600])), None);
    assert_eq!(rate(Some((10, &[100, 600])), (20, &[200])), None);
    assert_eq!(with_io(None, (20, &[1])).health.age, Some(Nanos(3)));
}

#[test]
fn memory_keeps_age_and_fault_of_its_file() {
    let stat = MemoryStat { anon: Some(Bytes(7)), ..MemoryStat::default() };
    let mut seldom = SeldomSample {
        memory_stat: Source::fresh(Timestamp(SECOND), stat),
        ..SeldomSample::default()
    };
    let fault = SourceFault::Broken { error: "EIO".to_owned() };
    seldom.memory_stat.fault = Some(fault.clone());
    let view = memory_view(&seldom, Timestamp(5 * SECOND));
    assert_eq!((view.anon, view.file), (Some(Bytes(7)), None));
    assert_eq!(view.health, SourceHealth { age: Some(Nanos(4 * SECOND)), fault: Some(fault) });
}

#[test]
fn memory_by_node_keeps_age_and_fault_of_its_own_file() {
    let used = |anon, file, kernel| NodeUse {
        anon: Bytes(anon),
        file: Bytes(file),
        kernel: Bytes(kernel),
    };
    let nodes = NodeUses::from([(NumaNodeId(0), used(1, 2, 4)), (NumaNodeId(1), used(0, 0, 0))]);
    let seldom = SeldomSample {
        numa_stat: Source { fault: None, ..Source::fresh(Timestamp(SECOND), nodes) },
        ..SeldomSample::default()
    };
    let view = memory_view(&seldom, Timestamp(3 * SECOND));
    let expect = BTreeMap::from([(NumaNodeId(0), Bytes(7)), (NumaNodeId(1), Bytes(0))]);
    assert_eq!(view.per_node, expect);
    assert_eq!(view.per_node_health.age, Some(Nanos(2 * SECOND)));
    assert_eq!(view.health.age, None, "another file");
}

#[test]
fn no_topology_is_an_error_and_not_an_empty_machine() {
    let error = derive(None, &Sample::default(), &DeriveLimits::default()).expect_err("no CPUs");
    assert_eq!(error, DeriveError::NoTopology);
    assert_eq!(error.to_string(), "no topology was ever read");
}

#[test]
fn sources_tell_age_and_fault() {
    let current = sample(SECOND, workload(SECOND, 0));
    let snapshot = derive(None, &current, &DeriveLimits::default()).expect("derived");
    assert_eq!(snapshot.sources[WORKLOADS].age, Some(Nanos(0)));
    assert_eq!(snapshot.sources[PROBE].age, None);
}
