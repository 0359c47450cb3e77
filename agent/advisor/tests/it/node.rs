//! Random nodes, from one CPU to sixty-four, with workloads of all levels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::enhancement::Enhancements;
use model::knob::Knobs;
use model::placement::ReclaimReserve;
use model::plan::Plan;
use model::policy::{Policy, Reserve};
use model::qos::{CgroupPath, PoolName, QosLevel, WorkloadName};
use model::sample::{WaitCauses, WorkloadSpec};
use model::snapshot::{HostView, RunqView, Signal, Snapshot, SourceHealth, WorkloadView};
use model::topology::{Shape, Topology};
use model::{Bytes, CgroupId, CpuId, CpuSet, Histogram, MilliCpu, Nanos, SlotId, Timestamp};
use proptest::prelude::*;

pub(crate) fn arb_policy() -> impl Strategy<Value = Policy> {
    let reserve = prop_oneof![
        (0u16..5).prop_map(Reserve::Count),
        proptest::collection::btree_set(0u16..70, 0..4)
            .prop_map(|cpus| Reserve::Cpus(cpus.into_iter().map(CpuId).collect())),
    ];
    let kept = prop_oneof![
        Just(CpuSet::EMPTY),
        proptest::collection::btree_set(0u16..70, 0..4)
            .prop_map(|cpus| cpus.into_iter().map(CpuId).collect()),
    ];
    ((reserve, kept), any::<bool>(), 0u16..9, 0u16..6, 0u16..4, 0u64..3).prop_map(
        |((reserve, kept), overlap, floor, growth, shrink, after)| {
            let mut policy = Policy::default();
            policy.placement.reserve = reserve;
            policy.placement.kept = kept;
            policy.placement.overlap_shared_reclaim = overlap;
            policy.placement.reclaim_reserve = ReclaimReserve::Count(floor.max(1));
            policy.reclaim.max_growth_per_tick = growth;
            policy.share.max_shrink_per_tick = shrink;
            policy.share.shrink_after = Nanos::from_secs(after);
            policy
        },
    )
}

fn arb_topology() -> impl Strategy<Value = Topology> {
    let shape = (1u16..3, 1u16..3, 1u16..9, 1u16..3);
    (shape, proptest::collection::btree_set(0u16..64, 0..4)).prop_map(|(shape, offline)| {
        let (sockets, nodes, cores, threads) = shape;
        let mut topology = Topology::synthetic(Shape {
            sockets,
            nodes_per_socket: nodes,
            llcs_per_node: 1,
            cores_per_llc: cores,
            threads_per_core: threads,
            memory_per_node: Bytes(1 << 30),
        });
        // The boot CPU stays: a machine without a CPU runs no agent.
        for cpu in offline.into_iter().filter(|cpu| *cpu != 0).map(CpuId) {
            if let Some(entry) = topology.cpus.get_mut(&cpu) {
                entry.online = false;
                topology.offline.insert(cpu);
            }
        }
        topology
    })
}

/// Level, request, usage, microseconds waited, who is to blame (0 own group, 1 batch, 2 others), wish
/// (0 and 1 none, 2 a node, 3 a pool of its own, 4 both).
type Draft = (usize, u64, Option<u64>, u64, u8, u8);

pub(crate) fn arb_drafts() -> impl Strategy<Value = Vec<Draft>> {
    let usage = proptest::option::of(0u64..40_000);
    proptest::collection::vec((0usize..4, 0u64..9000, usage, 0u64..40_000, 0u8..3, 0u8..5), 0..8)
}

pub(crate) fn arb_signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        6 => Just(Signal::Good),
        1 => Just(Signal::Degraded { why: "steal".to_owned() }),
        1 => Just(Signal::PressureOnly { why: "no BTF".to_owned() }),
    ]
}

pub(crate) fn arb_snapshot() -> impl Strategy<Value = Snapshot> {
    (arb_topology(), arb_drafts(), arb_signal())
        .prop_map(|(topology, drafts, signal)| snapshot(topology, &drafts, signal))
}

/// A few seconds of one machine: load, signal and online CPUs change.
pub(crate) fn arb_seconds() -> impl Strategy<Value = Vec<Snapshot>> {
    let second = (arb_drafts(), arb_signal(), proptest::option::of(0u16..64));
    (arb_topology(), proptest::collection::vec(second, 1..6)).prop_map(|(mut topology, seconds)| {
        let mut all = Vec::new();
        for (idx, (drafts, signal, flip)) in seconds.into_iter().enumerate() {
            if let Some(cpu) = flip.filter(|cpu| *cpu != 0).map(CpuId)
                && let Some(entry) = topology.cpus.get_mut(&cpu)
            {
                entry.online = !entry.online;
            }
            let mut node = snapshot(topology.clone(), &drafts, signal);
            node.at = Timestamp((idx as u64 + 1) * 1_000_000_000);
            all.push(node);
        }
        all
    })
}

pub(crate) fn snapshot(topology: Topology, drafts: &[Draft], signal: Signal) -> Snapshot {
    let fresh = || SourceHealth { age: Some(Nanos(0)), fault: None };
    let batch = drafts.iter().position(|draft| draft.0 == 2).unwrap_or(60) as u16 + 1;
    let busy = topology.online().iter().map(|cpu| (cpu, f64::from(cpu.0 % 4) / 4.0)).collect();
    let host = HostView { cpu_busy_ratio: busy, ..HostView::default() };
    let workloads = drafts.iter().enumerate().map(|(idx, draft)| {
        (WorkloadName::new(format!("w{idx}")), view(idx as u16 + 1, draft, batch))
    });
    Snapshot {
        at: Timestamp(1_000_000_000),
        topology: Arc::new(topology),
        host,
        workloads: workloads.collect(),
        signal,
        sources: BTreeMap::from(["topology", "host", "workloads", "probe"].map(|s| (s, fresh()))),
    }
}

fn view(slot: u16, draft: &Draft, batch: u16) -> WorkloadView {
    let (level, request, usage, wait_us, blame, wish) = *draft;
    let waited = Nanos(wait_us * 1000);
    let mut waits = Histogram::default();
    waits.buckets[Histogram::bucket_of(waited)] = 100;
    let mut causes = WaitCauses { total: waited, ..WaitCauses::default() };
    match blame {
        0 => causes.own_group = waited,
        1 => drop(causes.by_offender.insert(SlotId(batch), waited)),
        _ => causes.untracked = waited,
    }
    let runq = RunqView {
        p50: waits.quantile(500),
        p99: waits.quantile(990),
        p999: None,
        waits,
        on_cpu: Nanos(0),
        runnable: Some((wait_us % 13) as f64),
        causes,
    };
    WorkloadView {
        spec: wishing(WorkloadSpec::plain(QosLevel::ALL[level], MilliCpu(request)), wish),
        cgroup: CgroupPath::new(format!("/w{slot}")),
        containers: None,
        cgroup_id: CgroupId(u64::from(slot)),
        slot: SlotId(slot),
        populated: true,
        usage: usage.map(MilliCpu),
        runq: Some(runq),
        throttled_ratio: None,
        cpu_pressure: None,
        memory_current: None,
        memory: model::snapshot::MemoryView::default(),
        io: model::snapshot::IoView::default(),
        knobs: Knobs::default(),
        knobs_at: Timestamp(0),
    }
}

fn wishing(spec: WorkloadSpec, wish: u8) -> WorkloadSpec {
    let (binding, pool) = (wish == 2 || wish == 4, wish >= 3);
    let is_shared = spec.qos == QosLevel::SharedCores;
    let wish = Enhancements {
        numa_binding: binding && spec.qos != QosLevel::SystemCores,
        cpuset_pool: (pool && is_shared).then(|| PoolName::from("web")),
        ..(*spec.wish).clone()
    };
    WorkloadSpec { wish: Arc::new(wish), ..spec }
}

pub(crate) fn members(plan: &Plan, pool: &str) -> BTreeSet<u16> {
    plan.pools.get(pool).map(|pool| ids(pool.cpus)).unwrap_or_default()
}

pub(crate) fn ids(cpus: CpuSet) -> BTreeSet<u16> {
    (0..1024).filter(|cpu| cpus.contains(CpuId(*cpu))).collect()
}

pub(crate) fn online(snapshot: &Snapshot) -> BTreeSet<u16> {
    snapshot.topology.cpus.values().filter(|cpu| cpu.online).map(|cpu| cpu.id.0).collect()
}
