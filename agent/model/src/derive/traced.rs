//! Invariant 10 on ten thousand random pairs of Samples: every number of a Snapshot can be traced to a
//! Sample. Each one is computed again from the counters, by other arithmetic; where the Sample has
//! nothing the Snapshot has nothing.

use proptest::prelude::*;

use super::*;
use crate::qos::{CgroupPath, QosLevel};
use crate::sample::{MemoryStat, Pressure, SourceFault, WorkloadSpec};
use crate::topology::Shape;
use crate::units::{CgroupId, CpuId};

/// Of one workload: `cpu.stat` (usage, periods, throttled), memory, I/O, waits of its slot, and time waited.
type Draft = (Option<(u64, u64, u64)>, Option<u64>, Option<u64>, Option<(u64, u64)>, u16);

fn arb_draft() -> impl Strategy<Value = Draft> {
    let stat = (0u64..4_000_000, 0u64..50, 0u64..50);
    let option = proptest::option::of::<std::ops::Range<u64>>;
    let waits = proptest::option::of((0u64..200, 0u64..1_000_000));
    (proptest::option::of(stat), option(0..1 << 40), option(0..1 << 40), waits, 1u16..4)
}

/// Seconds and nanoseconds since boot, and what was read then; workloads by number.
type Moment = (u64, Option<(u64, u64, u64)>, BTreeMap<u8, Draft>, bool);

fn arb_moment(seconds: std::ops::Range<u64>) -> impl Strategy<Value = Moment> {
    let cpu = proptest::option::of((0u64..3_000_000, 0u64..3_000_000, 0u64..1_000_000));
    let at = seconds.prop_map(|seconds| seconds * 500_000_000 + 7);
    (at, cpu, proptest::collection::btree_map(0u8..4, arb_draft(), 0..4), any::<bool>())
}

fn workload(at: Timestamp, number: u8, draft: &Draft) -> WorkloadSample {
    let (stat, memory, io, _, slot) = draft;
    let io_of = |read: u64| vec![IoStat { read: Bytes(read), ..IoStat::default() }];
    let seldom = SeldomSample {
        memory_stat: match memory {
            Some(anon) => {
                let anon = Some(Bytes(*anon));
                Source::fresh(at, MemoryStat { anon, ..MemoryStat::default() })
            }
            None => Source { latest: None, fault: Some(no_file()) },
        },
        numa_stat: Source::default(),
        io_stat: io.map_or_else(Source::default, |read| Source::fresh(at, io_of(read))),
        io_stat_before: io.map(|read| Reading {
            at: Timestamp(at.0.saturating_sub(10_000_000_000)),
            value: io_of(read / 2),
        }),
    };
    WorkloadSample {
        spec: WorkloadSpec::plain(QosLevel::SharedCores, MilliCpu(1)),
        cgroup: CgroupPath::new(format!("/{number}")),
        cgroup_id: CgroupId(number.into()),
        slot: SlotId(*slot),
        at,
        populated: true,
        cpu_stat: stat.map(|(usage, periods, throttled)| CpuStat {
            usage: Micros(usage),
            nr_periods: Some(periods),
            nr_throttled: Some(throttled),
            ..CpuStat::default()
        }),
        cpu_pressure: memory.map(|_| Pressure::default()),
        memory_current: memory.map(Bytes),
        seldom: Arc::new(seldom),
        knobs: crate::knob::Knobs::default(),
        containers: None,
        errors: Vec::new(),
    }
}

fn no_file() -> SourceFault {
    SourceFault::Absent { what: "memory.stat".to_owned() }
}

fn sample(moment: &Moment) -> Sample {
    let (at, cpu, drafts, probed) = moment;
    let at = Timestamp(*at);
    let topology = Topology::synthetic(Shape {
        sockets: 1,
        nodes_per_socket: 1,
        llcs_per_node: 1,
        cores_per_llc: 1,
        threads_per_core: 1,
        memory_per_node: Bytes(1),
    });
    let mut probe = ProbeSample::default();
    for (.., waits, slot) in drafts.values() {
        let Some((count, waited)) = waits else { continue };
        let entry = probe.slots.entry(SlotId(*slot)).or_default();
        entry.waits.buckets[12] = *count;
        entry.causes.total = Nanos(*waited);
    }
    let host = cpu.map(|(user, idle, steal)| HostSample {
        cpus: BTreeMap::from([(
            CpuId(0),
            CpuTimes {
                user: Micros(user),
                idle: Micros(idle),
                steal: Micros(steal),
                ..CpuTimes::default()
            },
        )]),
        ..HostSample::default()
    });
    let workloads = drafts.iter().map(|(number, draft)| {
        (WorkloadName::new(format!("w{number}")), workload(at, *number, draft))
    });
    Sample {
        at,
        topology: Source::fresh(at, Arc::new(topology)),
        host: host.map_or_else(Source::default, |host| Source::fresh(at, host)),
        workloads: Source::fresh(at, workloads.collect()),
        probe: if *probed { Source::fresh(at, probe) } else { Source::default() },
    }
}

/// A rate must fit the counters it is said to come from; missing counters must leave it out.
fn traced_workload(
    before: Option<&WorkloadSample>,
    now: &WorkloadSample,
    view: &WorkloadView,
) -> Result<(), TestCaseError> {
    let gap_ns = before.map(|before| i128::from(now.at.0) - i128::from(before.at.0));
    let gap_ns = gap_ns.filter(|gap| (1..=9_000_000_000).contains(gap));
    let stats = before.and_then(|before| before.cpu_stat).zip(now.cpu_stat);
    let expected = gap_ns.zip(stats).and_then(|(gap, (before, now))| {
        let ran = i128::from(now.usage.0) - i128::from(before.usage.0);
        // mCPU: microseconds run per millisecond passed
        (ran >= 0).then_some(ran as f64 * 1e6 / gap as f64)
    });
    prop_assert_eq!(view.usage.is_some(), expected.is_some());
    if let Some((usage, expected)) = view.usage.zip(expected) {
        prop_assert!((usage.0 as f64 - expected).abs() <= 1.0, "{usage} is not {expected}");
    }
    let ratio = gap_ns.zip(stats).and_then(|(_, (before, now))| {
        let went = |field: fn(&CpuStat) -> Option<u64>| field(&now)?.checked_sub(field(&before)?);
        Some((went(|stat| stat.nr_periods)?, went(|stat| stat.nr_throttled)?))
    });
    prop_assert_eq!(view.throttled_ratio.is_some(), ratio.is_some());
    prop_assert_eq!(view.memory_current, now.memory_current);
    prop_assert_eq!(view.cpu_pressure, now.cpu_pressure);
    let anon = now.seldom.memory_stat.value().and_then(|stat| stat.anon);
    prop_assert_eq!(view.memory.anon, anon);
    prop_assert_eq!(view.memory.health.fault.is_some(), anon.is_none());
    let read: Option<u64> =
        now.seldom.io_stat.value().map(|devices| devices.iter().map(|device| device.read.0).sum());
    let ten_seconds = now.at.0 >= 10_000_000_000;
    // Half of the bytes in ten seconds.
    let rate = read.filter(|_| ten_seconds).map(|read| (read - read / 2) / 10);
    prop_assert_eq!(view.io.read.filter(|_| ten_seconds).map(|bytes| bytes.0), rate);
    Ok(())
}

fn traced_waits(
    before: &Sample,
    now: &Sample,
    (name, view): (&WorkloadName, &WorkloadView),
) -> Result<(), TestCaseError> {
    let Some(runq) = &view.runq else { return Ok(()) };
    let counted = |sample: &Sample| {
        let slot = sample.probe.value().and_then(|probe| probe.slots.get(&view.slot));
        slot.map_or(0, |slot| slot.waits.count())
    };
    prop_assert!(now.probe.latest.is_some() && before.probe.latest.is_some(), "{name}");
    let (was, is) = (counted(before), counted(now));
    prop_assert!(runq.waits.count() == is.checked_sub(was).unwrap_or(is), "{was} {is}");
    prop_assert_eq!(runq.p99.is_some(), runq.waits.count() > 0);
    prop_assert!(sum_of_parts(&runq.causes) == runq.causes.total);
    let spent = runq.on_cpu.0 + (runq.causes.total.0 - runq.causes.own_throttle.0);
    let seconds = now.at.since(before.at).0 as f64;
    let tasks = runq.runnable.expect("a fresh reading");
    prop_assert!((tasks - spent as f64 / seconds).abs() < 1e-9 * tasks.max(1.0));
    Ok(())
}

fn traced_host(before: &Sample, now: &Sample, host: &HostView) -> Result<(), TestCaseError> {
    let times = |sample: &Sample| sample.host.value().map(|host| host.cpus[&CpuId(0)]);
    let near = (1..=9_000_000_000).contains(&(i128::from(now.at.0) - i128::from(before.at.0)));
    let Some((was, is)) = times(before).zip(times(now)).filter(|_| near) else {
        prop_assert_eq!(host, &HostView::default());
        return Ok(());
    };
    let went = |field: fn(&CpuTimes) -> Micros| field(&is).0.saturating_sub(field(&was).0) as f64;
    let (user, idle, steal) = (went(|t| t.user), went(|t| t.idle), went(|t| t.steal));
    let all = user + idle + steal;
    prop_assert_eq!(host.busy_ratio.is_some(), all > 0.0);
    if let Some((busy, stolen)) = host.busy_ratio.zip(host.steal_ratio) {
        prop_assert!((busy - (user + steal) / all).abs() < 1e-9);
        prop_assert!((stolen - steal / all).abs() < 1e-9);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_number_can_be_traced_to_a_sample(
        before in arb_moment(0..50),
        now in arb_moment(40..70),
    ) {
        let (before, now) = (sample(&before), sample(&now));
        let snapshot =
            derive(Some(&before), &now, &DeriveLimits::default()).expect("a topology");
        let (was, is) = (&before.workloads.value().expect("read"), now.workloads.value().expect("read"));
        prop_assert_eq!(snapshot.workloads.keys().collect::<Vec<_>>(), is.keys().collect::<Vec<_>>());
        for (name, view) in &snapshot.workloads {
            traced_workload(was.get(name), &is[name], view)?;
            traced_waits(&before, &now, (name, view))?;
        }
        traced_host(&before, &now, &snapshot.host)?;
        for (name, source) in [(HOST, now.host.latest.is_some()), (PROBE, now.probe.latest.is_some())] {
            prop_assert_eq!(snapshot.sources[name].age, source.then_some(Nanos(0)));
        }
    }
}
