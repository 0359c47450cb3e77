//! Lines of every kind there and back, and what is refused. That a recording runs again the same is
//! tested where it is run, in `sim`.

use std::collections::BTreeMap;

use super::*;
use crate::cpuset::CpuSet;
use crate::knob::{CpuMax, CpuWeight, KnobValue};
use crate::plan as inner;
use crate::plan::{Applied, FailureKind, Phase, StepFailure};
use crate::policy::{self, Reserve};
use crate::qos::{CgroupPath, QosLevel, WorkloadName};
use crate::sample::*;
use crate::topology::{Shape, Topology};
use crate::units::*;

fn node_memory(seed: u64) -> crate::measured::NodeMemory {
    let free = Bytes(seed);
    crate::measured::NodeMemory { total: Bytes(u64::MAX), free, ..Default::default() }
}

fn node_use(seed: u64) -> NodeUse {
    NodeUse { anon: Bytes(seed), file: Bytes(2), kernel: Bytes(3) }
}

/// A Sample with something in every field, differing by `seed`.
fn container(seed: u64) -> sample::ContainerSample {
    sample::ContainerSample {
        cgroup: CgroupPath::from("/batch/ml/c1"),
        cgroup_id: CgroupId(seed),
        knobs: crate::knob::Knobs::default(),
    }
}

fn full_sample(seed: u64) -> sample::Sample {
    let at = Timestamp(1_000_000_000 + seed);
    let line =
        PressureLine { avg10_pct: 0.1 + seed as f64, total: Micros(seed), ..Default::default() };
    let mut slot = SlotSample { on_cpu: Nanos(seed), ..SlotSample::default() };
    slot.waits.buckets[(seed % 40) as usize] = seed;
    slot.causes.by_offender.insert(SlotId(3), Nanos(seed));
    let io = IoStat { major: 8, read: Bytes(seed), ..IoStat::default() };
    let seldom = SeldomSample {
        memory_stat: Source::fresh(
            at,
            MemoryStat { anon: Some(Bytes(seed)), ..Default::default() },
        ),
        numa_stat: match seed % 2 {
            0 => Source::fresh(at, NodeUses::from([(NumaNodeId(1), node_use(seed))])),
            _ => Source::default(),
        },
        io_stat: Source { latest: None, fault: Some(SourceFault::Absent { what: "io".into() }) },
        io_stat_before: Some(Reading { at, value: vec![io; (seed % 3) as usize] }),
    };
    let workload = WorkloadSample {
        spec: WorkloadSpec {
            target_p99: seed.is_multiple_of(2).then_some(Micros(9)),
            memory_request: Bytes(seed),
            ..WorkloadSpec::plain(QosLevel::SharedCores, MilliCpu(500))
        },
        cgroup: CgroupPath::from("/web"),
        cgroup_id: CgroupId(u64::MAX),
        slot: SlotId(1),
        at,
        populated: seed.is_multiple_of(3),
        cpu_stat: Some(CpuStat {
            usage: Micros(seed),
            nr_throttled: Some(seed),
            ..Default::default()
        }),
        cpu_pressure: Some(Pressure { some: line, full: (seed % 2 == 1).then_some(line) }),
        memory_current: Some(Bytes(u64::MAX - seed)),
        seldom: Arc::new(seldom),
        knobs: crate::knob::Knobs { cpu_idle: Some(true), ..Default::default() },
        containers: (seed % 3 == 1).then(|| Arc::from([container(seed)])),
        errors: vec!["cpu.stat: gone".into()],
    };
    let shape = Shape {
        sockets: 1,
        nodes_per_socket: 1,
        llcs_per_node: 1,
        cores_per_llc: 2,
        threads_per_core: 1,
        memory_per_node: Bytes(1 << 30),
    };
    let times = CpuTimes { user: Micros(seed), steal: Micros(1), ..CpuTimes::default() };
    sample::Sample {
        at,
        topology: Source::fresh(at, Arc::new(Topology::synthetic(shape))),
        host: Source::fresh(
            at,
            HostSample {
                cpus: BTreeMap::from([(CpuId(0), times)]),
                cpu_pressure: None,
                memory_total: Some(Bytes(4)),
                memory_available: None,
                memory: BTreeMap::from([(NumaNodeId(0), node_memory(seed))]),
            },
        ),
        workloads: Source::fresh(at, BTreeMap::from([(WorkloadName::from("web"), workload)])),
        probe: Source {
            latest: Some(Reading {
                at,
                value: ProbeSample {
                    slots: BTreeMap::from([(SlotId(1), slot)]),
                    lost_records: 2,
                    events: seed,
                },
            }),
            fault: Some(SourceFault::Broken { error: "E2BIG".into() }),
        },
    }
}

fn outcome(value: KnobValue, result: Result<Applied, StepFailure>) -> Entry {
    let step = inner::Step {
        generation: Generation(9),
        workload: WorkloadName::from("web"),
        cgroup: CgroupPath::from("/web"),
        value,
        phase: Phase::Give,
        rule: "let-go",
    };
    Entry::Outcome(Box::new(inner::Outcome {
        step,
        result,
        finished_at: Timestamp(7),
        took: Nanos(1),
    }))
}

fn standing() -> Standing {
    let mut policy = policy::Policy::default();
    policy.placement.reserve = Reserve::Cpus(CpuSet::from_iter([CpuId(1)]));
    let sample = full_sample(1);
    let limits = crate::derive::DeriveLimits::default();
    let snapshot = crate::derive::derive(Some(&full_sample(0)), &sample, &limits).expect("derived");
    Standing {
        snapshot: Some(Arc::new(snapshot)),
        sample: Some(Arc::new(sample)),
        overlay_ended_at: Some(Timestamp(5)),
        n_repeats: 3,
        calm_usage: Some(MilliCpu(70)),
        generation: Generation(11),
        ..Standing::start(policy, Some(inner::Plan::default()))
    }
}

fn entries() -> Vec<Entry> {
    let now = Timestamp(3_000_000_000);
    let burst = sample::Burst {
        victim: SlotId(1),
        cpu: CpuId(2),
        first_wait_at: Timestamp(3),
        wait: Nanos(4),
        offender: SlotId::UNTRACKED,
    };
    let failed = StepFailure { kind: FailureKind::Mismatch, errno: Some(22), message: "x".into() };
    let quota = CpuMax { quota: Some(Micros(1000)), ..CpuMax::UNLIMITED };
    let mut all = vec![
        Entry::Standing(Box::new(standing())),
        Entry::Begin { now },
        Entry::Burst { now, burst },
        Entry::Expire { now },
        Entry::Reserve {
            now,
            name: WorkloadName::from("shop/db-0"),
            spec: Box::new(sample::WorkloadSpec {
                target_p99: Some(Micros(900)),
                ..sample::WorkloadSpec::plain(QosLevel::DedicatedCores, MilliCpu(2000))
            }),
        },
        outcome(KnobValue::CpuIdle(true), Ok(Applied::Written)),
        outcome(KnobValue::CpuWeight(CpuWeight::MIN), Ok(Applied::DryRun)),
        outcome(KnobValue::CpuMax(quota), Err(failed)),
        outcome(KnobValue::CpusetCpus(CpuSet::EMPTY), Ok(Applied::Superseded)),
        Entry::Policy(Box::default()),
    ];
    all.extend(
        (1..8).map(|seed| Entry::Finish { now, sample: Arc::new(full_sample(seed * seed)) }),
    );
    all.push(Entry::Finish { now, sample: Arc::default() });
    all
}

#[test]
fn every_kind_of_entry_is_read_as_it_was_written() {
    let made = decision::Decision {
        at: Timestamp(1),
        rule: "test",
        subject: "web".into(),
        inputs: vec![("need", "3 \"CPUs\"".into())],
        result: "x".into(),
    };
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let head = decoder.read(&Encoder::head("1.2.3")).expect("a head");
    assert_eq!(head, Read::Head { agent: "1.2.3".into() });
    for (entry, wanted) in entries().into_iter().zip(1..) {
        let decides = matches!(
            entry,
            Entry::Finish { .. }
                | Entry::Burst { .. }
                | Entry::Expire { .. }
                | Entry::Reserve { .. }
        );
        let decisions = if decides { vec![made.clone()] } else { Vec::new() };
        let json: Vec<String> = decisions.iter().map(decision_json).collect();
        let line = encoder.line(&Recorded { entry: entry.clone(), decisions });
        assert!(!line.contains('\n'));
        let read = decoder.read(&line).expect("readable");
        assert_eq!(read, Read::Entry { n: wanted, entry, decisions: json });
    }
}

#[test]
fn a_second_that_is_like_the_one_before_is_short() {
    let mut encoder = Encoder::default();
    let line = |encoder: &mut Encoder, entry| encoder.line(&Recorded { entry, decisions: vec![] });
    let whole = line(&mut encoder, Entry::Standing(Box::new(standing())));
    let finish = |seed| Entry::Finish { now: Timestamp(9), sample: Arc::new(full_sample(seed)) };
    let same = line(&mut encoder, finish(1));
    assert_eq!(same, r#"{"kind":"finish","n":2,"now_ns":9}"#);
    let next = line(&mut encoder, finish(7));
    assert!(next.len() * 2 < whole.len(), "{} of {}", next.len(), whole.len());
}

#[track_caller]
fn check(lines: &[&str], expect: &str) {
    let mut decoder = Decoder::default();
    let (last, before) = lines.split_last().expect("a line");
    for line in before {
        decoder.read(line).expect("readable");
    }
    let error = decoder.read(last).expect_err("refused");
    assert!(error.to_string().contains(expect), "{error}");
}

#[test]
fn what_is_refused() {
    let head = Encoder::head("x");
    let state = Encoder::default().line(&Recorded {
        entry: Entry::Standing(Box::new(Standing::start(policy::Policy::default(), None))),
        decisions: vec![],
    });
    let begin = |n| format!(r#"{{"kind":"begin","n":{n},"now_ns":1}}"#);
    let finish =
        |sample: &str| format!(r#"{{"kind":"finish","n":2,"now_ns":1,"sample":{sample}}}"#);
    check(&[""], "not a line");
    check(&["[]"], "not a line");
    check(&[r#"{"kind":"tomorrow"}"#], "not a line");
    check(&[r#"{"kind":"head","schema":3,"agent":"x"}"#], "schema 3 cannot be read");
    check(&[r#"{"kind":"head","schema":0,"agent":"x"}"#], "schema 0 cannot be read");
    check(&[&head, &begin(1)], "entry 1 before any head");
    check(&[&head, &state, &begin(3)], "entry 3 where 2 was expected");
    check(&[&head, &state, r#"{"kind":"gap","lost":5}"#, &begin(2)], "entry 2 before any");
    check(&[&head, &state, &finish("3")], "does not fit");
    check(&[&head, &state, &finish("[{}]")], "entry 2 does not have the shape");
    check(&[&head, &state.replace("observe", "sleep")], "has a value that cannot be");
    check(&[&head, &state.replace("\"max_doublings\":4", "\"max_doublings\":64")], "cannot be");
}

/// A node of 64 CPUs and a hundred busy workloads at one second: every counter moves, pressure too,
/// six buckets of waits, three offenders; memory.stat and io.stat every ten seconds.
fn busy_node(second: u64) -> sample::Sample {
    let at = Timestamp(1_000_000_000 * second + second * 12_345 % 700_000);
    let mut node = full_sample(4);
    node.at = at;
    let cpus = (0..64u64).map(|cpu| {
        let ran = second * (400_000 + cpu * 1_000);
        let [user, system, idle] = [ran, ran / 7, second * 1_000_000 - ran].map(Micros);
        let id = CpuId(u16::try_from(cpu).expect("small"));
        (id, CpuTimes { user, system, idle, softirq: Micros(second * 300), ..CpuTimes::default() })
    });
    node.host = Source::fresh(at, HostSample { cpus: cpus.collect(), ..HostSample::default() });
    node.topology.latest.as_mut().expect("read").at = Timestamp(second / 10 * 10_000_000_000);
    let template = node.workloads.latest.take().expect("read").value;
    let template = template.into_values().next().expect("one");
    let (mut workloads, mut slots) = (BTreeMap::new(), BTreeMap::new());
    for id in 0..100u16 {
        let ran = second * (150_000 + u64::from(id) * 777);
        let share = ((second * 37 + u64::from(id) * 11) % 9_000) as f64 / 100.0;
        let line = PressureLine {
            avg10_pct: share,
            avg60_pct: share / 2.0,
            avg300_pct: 1.5,
            total: Micros(ran / 3),
        };
        let seldom_at = Timestamp(second / 10 * 10_000_000_000);
        let memory = MemoryStat {
            anon: Some(Bytes(second / 10 * 4096)),
            file: Some(Bytes(1 << 20)),
            ..Default::default()
        };
        let workload = WorkloadSample {
            slot: SlotId(id),
            at,
            cpu_stat: Some(CpuStat {
                usage: Micros(ran),
                user: Micros(ran / 5 * 4),
                system: Micros(ran / 5),
                nr_periods: Some(second * 10),
                nr_throttled: Some(0),
                throttled: Some(Micros(0)),
            }),
            cpu_pressure: Some(Pressure { some: line, full: Some(line) }),
            memory_current: Some(Bytes(ran / 4096 * 4096)),
            seldom: Arc::new(SeldomSample {
                memory_stat: Source::fresh(seldom_at, memory),
                ..SeldomSample::default()
            }),
            errors: Vec::new(),
            ..template.clone()
        };
        workloads.insert(WorkloadName::new(format!("batch/pod-{id}")), workload);
        let mut slot = SlotSample { on_cpu: Nanos(ran * 1000), ..SlotSample::default() };
        for bucket in 12..18 {
            slot.waits.buckets[bucket] = second * (900 >> (bucket - 12));
        }
        slot.causes.total = Nanos(ran * 90);
        for offender in 1..4 {
            slot.causes.by_offender.insert(SlotId(offender), Nanos(ran * u64::from(offender)));
        }
        slot.causes.unknown = Nanos(second * 900);
        slots.insert(SlotId(id), slot);
    }
    node.workloads = Source::fresh(at, workloads);
    node.probe = Source::fresh(at, ProbeSample { slots, lost_records: 0, events: second * 40_000 });
    node
}

/// What docs/recording.md says of its size.
#[test]
fn an_hour_of_a_hundred_busy_workloads_is_bounded() {
    let mut encoder = Encoder::default();
    let mut line = |entry| encoder.line(&Recorded { entry, decisions: vec![] }).len();
    let finish = |second| {
        let (now, sample) = (Timestamp(second), Arc::new(busy_node(second)));
        Entry::Finish { now, sample }
    };
    let whole = line(finish(1));
    let n_bytes: usize = (2..32).map(|second| line(finish(second))).sum();
    let per_hour_mb = n_bytes / 30 * 3600 / 1_000_000;
    assert!(per_hour_mb < 200 && n_bytes / 30 * 2 < whole, "{per_hour_mb} MB/h, whole {whole}");
}
