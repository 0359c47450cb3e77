//! Round trips of random values, the recorded files of every schema, and what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::cpuset::CpuSet;
use crate::enhancement::{BurstPolicy, BurstWish, Enhancements, NetNamespace, NetworkWish};
use crate::knob::{self, CpuMax, CpuWeight, MemoryLimit, OomScoreAdj};
use crate::ledger::{Ledger, Place, Remembered, Resident};
use crate::numa::NumaSet;
use crate::plan::{self as inner, Generation};
use crate::pod::Ask;
use crate::qos::{CgroupPath, PodUid, PoolName, QosLevel, WorkloadName};
use crate::sample::{Pressure, PressureLine, SourceFault, WaitCauses, WorkloadSpec};
use crate::snapshot::{self, RunqView, Signal, SourceHealth, WorkloadView};
use crate::topology::{Shape, Topology};
use crate::units::*;

fn arb_cpus() -> impl Strategy<Value = CpuSet> {
    proptest::collection::btree_set(0u16..1024, 0..9)
        .prop_map(|cpus| cpus.into_iter().map(CpuId).collect())
}

fn arb_max() -> impl Strategy<Value = CpuMax> {
    (proptest::option::of(1000u64..1 << 50), 1000u64..=1_000_000)
        .prop_map(|(quota, period)| CpuMax { quota: quota.map(Micros), period: Micros(period) })
}

fn arb_limit() -> impl Strategy<Value = Option<MemoryLimit>> {
    proptest::option::of(
        any::<Option<u64>>().prop_map(|bytes| {
            bytes.map_or(MemoryLimit::Max, |bytes| MemoryLimit::Bytes(Bytes(bytes)))
        }),
    )
}

fn arb_scores() -> impl Strategy<Value = Option<OomScoreAdj>> {
    let one = || (-1000i16..=1000).prop_map(|value| OomScoreAdj::new(value).expect("in range"));
    proptest::option::of((one(), one()).prop_map(|(a, b)| a.with(b)))
}

fn arb_knobs() -> impl Strategy<Value = knob::Knobs> {
    let cpu = (
        any::<Option<bool>>(),
        proptest::option::of(1u16..=10_000),
        proptest::option::of(arb_max()),
        proptest::option::of(arb_cpus()),
        proptest::option::of(arb_cpus()),
    );
    let memory = (arb_limit(), arb_limit(), arb_limit(), arb_limit(), arb_scores());
    let mems = proptest::option::of(proptest::collection::btree_set(0u16..64, 0..4));
    (cpu, memory, mems, any::<[Option<u64>; 2]>()).prop_map(|(cpu, memory, mems, n)| knob::Knobs {
        cpu_idle: cpu.0,
        cpu_weight: cpu.1.and_then(CpuWeight::new),
        cpu_max: cpu.2,
        cpu_burst: n[0].map(Micros),
        cpuset_cpus: cpu.3,
        cpuset_effective: cpu.4,
        cpuset_mems: mems.map(|mems| mems.into_iter().map(NumaNodeId).collect::<NumaSet>()),
        memory_min: memory.0,
        memory_low: memory.1,
        memory_high: memory.2,
        memory_max: memory.3,
        oom_score_adj: memory.4,
        seldom_at: n[1].map(Timestamp),
    })
}

fn arb_qos() -> impl Strategy<Value = QosLevel> {
    proptest::sample::select(QosLevel::ALL.to_vec())
}

fn arb_workload_plan() -> impl Strategy<Value = inner::WorkloadPlan> {
    (arb_qos(), ".{0,9}", "/[ -~]{0,12}", arb_knobs(), arb_cpus()).prop_map(
        |(qos, pool, cgroup, knobs, cpus)| inner::WorkloadPlan {
            qos,
            pool: PoolName::new(pool),
            containers: cpus.first().map(|_| Arc::from([CgroupPath::new(format!("{cgroup}/1"))])),
            cgroup: CgroupPath::new(cgroup),
            cpus,
            cpu_weight: knobs.cpu_weight,
            cpu_idle: knobs.cpu_idle,
            cpu_max: knobs.cpu_max,
            cpu_burst: knobs.cpu_burst,
            mems: knobs.cpuset_mems,
            memory_min: knobs.memory_min,
            memory_low: knobs.memory_low,
            memory_high: knobs.memory_high,
            memory_max: knobs.memory_max,
            oom_score_adj: knobs.oom_score_adj,
        },
    )
}

fn arb_plan() -> impl Strategy<Value = inner::Plan> {
    let pool = (arb_cpus(), any::<u64>())
        .prop_map(|(cpus, need)| inner::PoolPlan { cpus, need: MilliCpu(need) });
    (
        any::<[u64; 3]>(),
        proptest::collection::btree_map(".{0,9}".prop_map(PoolName::new), pool, 0..4),
        proptest::collection::btree_map(
            ".{0,9}".prop_map(WorkloadName::new),
            arb_workload_plan(),
            0..4,
        ),
        any::<Option<u64>>(),
        any::<u8>(),
        arb_ledger(),
    )
        .prop_map(|(numbers, pools, workloads, low, late, ledger)| inner::Plan {
            generation: Generation(numbers[0]),
            built_at: Timestamp(numbers[1]),
            snapshot_at: Timestamp(numbers[2]),
            pools,
            workloads,
            ledger: Arc::new(ledger),
            advice: inner::Advice::default(),
            regions: BTreeMap::from([(
                PoolName::from("share-NUMA1"),
                inner::RegionState {
                    n_exclusive: 3,
                    low_since: low.map(Timestamp),
                    late_ticks: late,
                },
            )]),
        })
}

fn arb_wish() -> impl Strategy<Value = Enhancements> {
    let ids = proptest::collection::vec(0u16..64, 1..4)
        .prop_map(|ids| ids.into_iter().map(NumaNodeId).collect::<NumaSet>());
    (0usize..4, any::<[bool; 6]>(), proptest::option::of(ids), proptest::option::of(0.0..9.0f64))
        .prop_map(|(level, flags, ids, rate)| Enhancements {
            cpuset_pool: flags[0].then(|| PoolName::from("batch-a")),
            numa_share: flags[1],
            suppression_tolerance_rate: rate,
            burst: BurstWish { policy: BurstPolicy::Static, percent: rate, threshold: None },
            align_by_socket: flags[2],
            distribute_evenly: flags[3],
            full_pcpus_pairing: flags[4],
            numa_number: flags[5].then_some(2),
            numa_ids: ids,
            network: NetworkWish {
                namespace: flags[3].then_some(NetNamespace::AntiHost),
                affinity_restricted: flags[2],
            },
            ..Enhancements::none(QosLevel::ALL[level])
        })
}

fn arb_ledger() -> impl Strategy<Value = Ledger> {
    let place = prop_oneof![
        Just(Place::Pool),
        Just(Place::Anywhere),
        (0u16..64).prop_map(|node| Place::Node(NumaNodeId(node))),
        arb_cpus().prop_map(|cpus| Place::Own { cpus, nodes: NumaSet::EMPTY }),
    ];
    let one = (0usize..4, any::<[u64; 2]>(), arb_wish(), place, any::<Option<u64>>());
    let one = one.prop_map(|(level, n, wish, place, ramp)| {
        let spec = WorkloadSpec {
            memory_request: Bytes(n[1]),
            wish: Arc::new(wish),
            ..WorkloadSpec::plain(QosLevel::ALL[level], MilliCpu(n[0]))
        };
        let mut ask = Ask::of_workload(&WorkloadName::from("w"), &spec);
        ask.directives.numa_bind_result = ramp.map(|_| NumaSet::single(NumaNodeId(3)));
        ask.directives.evict_score = ramp.map(|_| 0.5);
        Resident { ask, place, ramp_until: ramp.map(Timestamp) }
    });
    proptest::collection::btree_map("[a-z]{1,9}", one, 0..4).prop_map(|pods| {
        let pods = pods.into_iter().map(|(uid, mut one)| {
            one.ask.uid = PodUid::new(uid.as_str());
            (one.ask.uid.clone(), one)
        });
        let kept = Remembered { nodes: NumaSet::single(NumaNodeId(1)), until: Timestamp(9) };
        let pods: BTreeMap<_, _> = pods.collect();
        let reserved = pods.keys().next().map(|uid| (uid.clone(), Timestamp(9)));
        Ledger {
            pods,
            remembered: BTreeMap::from([("pod a/b".to_owned(), kept)]),
            reserved: reserved.into_iter().collect(),
        }
    })
}

fn arb_view() -> impl Strategy<Value = WorkloadView> {
    let counts = proptest::collection::vec(any::<u64>(), 0..=40);
    let ratio = proptest::option::of(0.0..1.0f64);
    let maybe = any::<[Option<u64>; 3]>();
    (arb_workload_plan(), arb_knobs(), any::<[u64; 8]>(), counts, ratio, maybe, arb_wish())
        .prop_map(|(w, knobs, n, counts, ratio, maybe, wish)| {
            let mut waits = crate::Histogram::default();
            for (bucket, count) in waits.buckets.iter_mut().zip(counts) {
                *bucket = count;
            }
            let line = PressureLine {
                avg10_pct: ratio.unwrap_or(0.1) * 100.0,
                total: Micros(n[0]),
                ..PressureLine::default()
            };
            WorkloadView {
                spec: WorkloadSpec {
                    qos: w.qos,
                    request: MilliCpu(n[1]),
                    memory_request: Bytes(n[2]),
                    target_p99: maybe[0].map(Micros),
                    given: maybe[1].map(|n| CpuSet::single(CpuId((n % 64) as u16))),
                    wish: Arc::new(wish),
                },
                cgroup: w.cgroup,
                containers: maybe[2].map(|_| Arc::from([])),
                cgroup_id: CgroupId(n[2]),
                slot: SlotId(n[3] as u16),
                populated: n[4] % 2 == 0,
                usage: maybe[1].map(MilliCpu),
                runq: maybe[2].map(|p50| RunqView {
                    waits,
                    p50: Some(Nanos(p50)),
                    p99: None,
                    p999: maybe[0].map(Nanos),
                    on_cpu: Nanos(n[5]),
                    runnable: maybe[1].map(|tasks| tasks as f64 / 8.0),
                    causes: WaitCauses {
                        total: Nanos(n[6]),
                        by_offender: BTreeMap::from([(SlotId(n[7] as u16), Nanos(n[6]))]),
                        ..WaitCauses::default()
                    },
                }),
                throttled_ratio: ratio,
                cpu_pressure: ratio.map(|_| Pressure { some: line, full: Some(line) }),
                memory_current: maybe[1].map(Bytes),
                memory: snapshot::MemoryView {
                    anon: maybe[0].map(Bytes),
                    file: maybe[2].map(Bytes),
                    shmem: maybe[1].map(Bytes),
                    kernel: maybe[1].map(Bytes),
                    health: SourceHealth { age: maybe[0].map(Nanos), fault: None },
                    per_node: maybe[2]
                        .map(|used| (NumaNodeId(1), Bytes(used)))
                        .into_iter()
                        .collect(),
                    per_node_health: SourceHealth { age: maybe[1].map(Nanos), fault: None },
                },
                io: snapshot::IoView {
                    read: maybe[2].map(Bytes),
                    written: maybe[0].map(Bytes),
                    health: SourceHealth {
                        age: None,
                        fault: Some(SourceFault::Unsupported { why: "no io".to_owned() }),
                    },
                },
                knobs,
                knobs_at: Timestamp(n[0]),
            }
        })
}

fn arb_snapshot() -> impl Strategy<Value = snapshot::Snapshot> {
    let machine =
        (1u16..3, 1u16..3, 1u16..4, 1u16..3).prop_map(|(sockets, nodes, cores, threads)| {
            Topology::synthetic(Shape {
                sockets,
                nodes_per_socket: nodes,
                llcs_per_node: 1,
                cores_per_llc: cores,
                threads_per_core: threads,
                memory_per_node: Bytes(1 << 30),
            })
        });
    let signal = proptest::sample::select(vec![
        Signal::Good,
        Signal::Degraded { why: "steal".to_owned() },
        Signal::PressureOnly { why: "no BTF".to_owned() },
        Signal::None { why: String::new() },
    ]);
    let workloads =
        proptest::collection::btree_map(".{0,9}".prop_map(WorkloadName::new), arb_view(), 0..4);
    (machine, signal, workloads, any::<[Option<u64>; 3]>(), proptest::option::of(0.0..1.0f64))
        .prop_map(|(topology, signal, workloads, maybe, ratio)| snapshot::Snapshot {
            at: Timestamp(maybe[0].unwrap_or(7)),
            topology: Arc::new(topology),
            host: snapshot::HostView {
                busy_ratio: ratio,
                cpu_busy_ratio: ratio.map(|busy| (CpuId(1), busy)).into_iter().collect(),
                memory_total: maybe[1].map(Bytes),
                ..snapshot::HostView::default()
            },
            workloads,
            signal,
            sources: BTreeMap::from([
                (crate::derive::PROBE, SourceHealth { age: maybe[2].map(Nanos), fault: None }),
                (
                    crate::derive::HOST,
                    SourceHealth {
                        age: None,
                        fault: Some(SourceFault::Broken { error: "EIO".to_owned() }),
                    },
                ),
            ]),
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn plans_come_back(plan in arb_plan()) {
        let text = to_json(&Plan::from(&plan)).expect("written");
        let read: Plan = from_json(text.as_bytes()).expect("read");
        prop_assert_eq!(inner::Plan::try_from(read).expect("a plan"), plan);
    }

    #[test]
    fn knobs_come_back(knobs in proptest::collection::btree_map("/.{0,9}".prop_map(CgroupPath::new), arb_knobs(), 0..5)) {
        let text = to_json(&KnobTable::from(&knobs)).expect("written");
        let read: KnobTable = from_json(text.as_bytes()).expect("read");
        prop_assert_eq!(knob::KnobTable::try_from(read).expect("knobs"), knobs);
    }

    #[test]
    fn snapshots_come_back(snapshot in arb_snapshot()) {
        let text = to_json(&Snapshot::from(&snapshot)).expect("written");
        let read: Snapshot = from_json(text.as_bytes()).expect("read");
        prop_assert_eq!(snapshot::Snapshot::try_from(read).expect("a snapshot"), snapshot);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(from_json::<Plan>(&bytes).is_err());
    }
}

fn recorded_overlay() -> inner::Overlay {
    inner::Overlay {
        began_at: Timestamp(10),
        expires_at: Timestamp(1_000_000_010),
        floor: MilliCpu(100),
        cpu_idle: true,
        throttle: false,
        victim: WorkloadName::from("web"),
        first_wait_at: Timestamp(3),
    }
}

fn recorded_plan() -> inner::Plan {
    let workload = inner::WorkloadPlan {
        qos: QosLevel::ReclaimedCores,
        pool: PoolName::from(PoolName::RECLAIM),
        cgroup: CgroupPath::from("/batch/ml"),
        containers: None,
        cpus: "1-3,8".parse().expect("a list"),
        cpu_weight: Some(CpuWeight::MIN),
        cpu_idle: Some(false),
        cpu_max: Some(CpuMax { quota: Some(Micros(800_000)), period: CpuMax::PERIOD }),
        cpu_burst: None,
        mems: None,
        memory_min: None,
        memory_low: None,
        memory_high: None,
        memory_max: None,
        oom_score_adj: None,
    };
    let pool = inner::PoolPlan { cpus: workload.cpus, need: MilliCpu(2500) };
    inner::Plan {
        generation: Generation(7),
        built_at: Timestamp(2_000_000_000),
        snapshot_at: Timestamp(1_900_000_000),
        pools: BTreeMap::from([(PoolName::from(PoolName::RECLAIM), pool)]),
        workloads: BTreeMap::from([(WorkloadName::from("ml"), workload)]),
        ledger: Arc::default(),
        // The recorded one has no share pool, so it has no region either.
        regions: BTreeMap::new(),
        advice: inner::Advice::default(),
    }
}

/// Files written by version 1 must be read by every later version. They are recorded, never
/// regenerated: a failure here means that checkpoints of running nodes are lost on upgrade.
#[test]
fn files_of_schema_1_are_read() {
    let plan: Plan = from_json(include_bytes!("../../testdata/plan.v1.json")).expect("read");
    assert_eq!(inner::Plan::try_from(plan).expect("a plan"), recorded_plan());
    let overlay: Overlay =
        from_json(include_bytes!("../../testdata/overlay.v1.json")).expect("read");
    assert_eq!(inner::Overlay::from(overlay), recorded_overlay());
    let knobs: KnobTable = from_json(include_bytes!("../../testdata/knobs.v1.json")).expect("read");
    let knobs = knob::KnobTable::try_from(knobs).expect("knobs");
    assert_eq!(knobs["/batch/ml"].cpu_max, Some(CpuMax::UNLIMITED));
    assert_eq!(knobs["/batch/ml"].cpuset_cpus, Some(CpuSet::EMPTY));
    let snapshot: Snapshot =
        from_json(include_bytes!("../../testdata/snapshot.v1.json")).expect("read");
    let snapshot = snapshot::Snapshot::try_from(snapshot).expect("a snapshot");
    assert_eq!(snapshot.workloads["web"].runq_p99(), Some(Micros(2)));
    let decision: Decision =
        from_json(include_bytes!("../../testdata/decision.v1.json")).expect("read");
    assert_eq!(decision.rule, "share-need");
}

/// Files with the knobs that came later, under the same schema number: the older ones above lack
/// their fields, and a Plan without them is written as it always was.
#[test]
fn files_with_burst_memory_and_oom_knobs_are_read() {
    let knobs: KnobTable =
        from_json(include_bytes!("../../testdata/knobs-memory.v1.json")).expect("read");
    let knobs = knob::KnobTable::try_from(knobs).expect("knobs");
    let ml = &knobs["/batch/ml"];
    assert_eq!((ml.cpu_burst, ml.seldom_at), (Some(Micros(20_000)), Some(Timestamp(9))));
    assert_eq!(ml.cpuset_mems, NumaSet::parse("0-1"));
    assert_eq!((ml.memory_min, ml.memory_low), (Some(MemoryLimit::Bytes(Bytes(0))), None));
    assert_eq!(ml.memory_high, Some(MemoryLimit::Bytes(Bytes(1 << 30))));
    assert_eq!(ml.memory_max, Some(MemoryLimit::Max));
    assert_eq!(ml.oom_score_adj.map(|score| score.to_string()).as_deref(), Some("-998..969"));
    let written = to_json(&Plan::from(&recorded_plan())).expect("written");
    let workloads = |text: &str| {
        let document: serde_json::Value = serde_json::from_str(text).expect("JSON");
        document["body"]["workloads"].to_string()
    };
    let recorded = include_str!("../../testdata/plan.v1.json");
    assert_eq!(workloads(&written), workloads(recorded), "what is not planned takes no room");
}

#[track_caller]
fn check_refused(text: &str, expect: &str) {
    let error = from_json::<Overlay>(text.as_bytes()).expect_err(text);
    assert_eq!(error.to_string(), expect);
}

#[test]
fn what_is_not_ours_is_refused_with_a_reason() {
    let form = "not JSON with kind and schema, where a document of kind \"overlay\" was expected";
    check_refused("", form);
    check_refused("{\"kind\":\"overlay\"}", form);
    check_refused(
        "{\"kind\":\"overlay\",\"schema\":2,\"body\":{}}",
        "schema 2 of \"overlay\" cannot be read: this version knows up to 1",
    );
    check_refused(
        "{\"kind\":\"plan\",\"schema\":1,\"body\":{}}",
        "a document of kind \"plan\", where \"overlay\" was expected",
    );
    check_refused(
        "{\"kind\":\"overlay\",\"schema\":1,\"body\":{}}",
        "the body of this \"overlay\" does not have the shape of schema 1",
    );
}

#[track_caller]
fn check_bad_plan(spoil: impl FnOnce(&mut Plan), expect: &str) {
    let mut plan = Plan::from(&recorded_plan());
    spoil(&mut plan);
    assert_eq!(inner::Plan::try_from(plan).expect_err(expect).to_string(), expect);
}

#[test]
fn a_value_out_of_range_names_its_field() {
    let ml = |plan: &mut Plan, spoil: fn(&mut WorkloadPlan)| {
        spoil(plan.workloads.get_mut("ml").expect("ml"));
    };
    check_bad_plan(|p| ml(p, |w| w.qos = "best".to_owned()), "qos cannot be \"best\"");
    check_bad_plan(|p| ml(p, |w| w.cpu_weight = Some(0)), "cpu_weight cannot be \"0\"");
    check_bad_plan(|p| ml(p, |w| w.cpu_max = Some("max".to_owned())), "cpu_max cannot be \"max\"");
    check_bad_plan(
        |p| ml(p, |w| w.more.memory_max = Some("1G".to_owned())),
        "memory_max cannot be \"1G\"",
    );
    check_bad_plan(
        |p| ml(p, |w| w.more.cpuset_mems = Some("64".to_owned())),
        "cpuset_mems cannot be \"64\"",
    );
    check_bad_plan(
        |p| ml(p, |w| w.more.oom_score_adj = Some("1001".to_owned())),
        "oom_score_adj cannot be \"1001\"",
    );
    check_bad_plan(|p| ml(p, |w| w.cpus = "3-1".to_owned()), "workload.cpus cannot be \"3-1\"");
}
