//! Small nodes as values, for tests of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::annotation;
use model::histogram::Histogram;
use model::knob::Knobs;
use model::placement::PlacementPolicy;
use model::pod::{Ask, Container, ContainerRole, Pod, Requests};
use model::policy::Policy;
use model::qos::{CgroupPath, PodUid, QosLevel, QosRules, WorkloadName};
use model::sample::{WaitCauses, WorkloadSpec};
use model::snapshot::{HostView, RunqView, Signal, Snapshot, SourceHealth, WorkloadView};
use model::topology::Shape;
use model::{Bytes, CgroupId, CpuId, CpuSet, Micros, MilliCpu, Nanos, SlotId, Timestamp, Topology};

use crate::layout::Layout;

pub(crate) const SECOND: u64 = 1_000_000_000;

/// `nodes` x `cores` x `threads` CPUs, numbered as on an x86 server.
pub(crate) fn machine(nodes: u16, cores: u16, threads: u16) -> Topology {
    Topology::synthetic(Shape {
        sockets: 1,
        nodes_per_socket: nodes,
        llcs_per_node: 1,
        cores_per_llc: cores,
        threads_per_core: threads,
        memory_per_node: Bytes(1 << 30),
    })
}

/// 16 CPUs, 2 sockets, 4 nodes {0,1,8,9} {2,3,10,11} {4,5,12,13} {6,7,14,15}.
pub(crate) fn f16() -> Topology {
    Topology::synthetic(Shape {
        sockets: 2,
        nodes_per_socket: 2,
        llcs_per_node: 1,
        cores_per_llc: 2,
        threads_per_core: 2,
        memory_per_node: Bytes(1 << 30),
    })
}

pub(crate) fn offline(topology: &mut Topology, cpu: u16) {
    let cpu = topology.cpus.get_mut(&CpuId(cpu)).expect("the CPU exists");
    cpu.online = false;
    topology.offline.insert(cpu.id);
}

pub(crate) fn snapshot(at_s: u64, topology: Topology, all: Vec<(&str, WorkloadView)>) -> Snapshot {
    let fresh = || SourceHealth { age: Some(Nanos(0)), fault: None };
    Snapshot {
        at: Timestamp(at_s * SECOND),
        topology: Arc::new(topology),
        host: HostView::default(),
        workloads: all.into_iter().map(|(name, view)| (WorkloadName::from(name), view)).collect(),
        signal: Signal::Good,
        sources: BTreeMap::from(["topology", "host", "workloads", "probe"].map(|s| (s, fresh()))),
    }
}

/// A workload in slot `slot` of cgroup `/slot`.
pub(crate) fn workload(qos: QosLevel, slot: u16, request: u64, usage: Option<u64>) -> WorkloadView {
    WorkloadView {
        spec: WorkloadSpec::plain(qos, MilliCpu(request)),
        cgroup: CgroupPath::new(format!("/{slot}")),
        containers: None,
        cgroup_id: CgroupId(u64::from(slot) + 100),
        slot: SlotId(slot),
        populated: true,
        usage: usage.map(MilliCpu),
        runq: None,
        throttled_ratio: None,
        cpu_pressure: None,
        memory_current: None,
        memory: model::snapshot::MemoryView::default(),
        io: model::snapshot::IoView::default(),
        knobs: Knobs::default(),
        knobs_at: Timestamp(0),
    }
}

pub(crate) fn shared(slot: u16, request: u64, usage: Option<u64>) -> WorkloadView {
    workload(QosLevel::SharedCores, slot, request, usage)
}

pub(crate) fn batch(slot: u16) -> WorkloadView {
    workload(QosLevel::ReclaimedCores, slot, 0, Some(1000))
}

/// 100 waits of about `wait_us` each, caused as told.
pub(crate) fn waiting(mut view: WorkloadView, wait_us: u64, causes: WaitCauses) -> WorkloadView {
    let mut waits = Histogram::default();
    waits.buckets[Histogram::bucket_of(Micros(wait_us).as_nanos())] = 100;
    view.runq = Some(RunqView {
        p50: waits.quantile(500),
        p99: waits.quantile(990),
        p999: waits.quantile(999),
        waits,
        on_cpu: Nanos(0),
        runnable: None,
        causes,
    });
    view
}

pub(crate) fn caused_by(slot: u16, millis: u64) -> WaitCauses {
    let waited = Nanos::from_millis(millis);
    let by_offender = BTreeMap::from([(SlotId(slot), waited)]);
    WaitCauses { total: waited, by_offender, ..WaitCauses::default() }
}

pub(crate) fn caused_by_own_group(millis: u64) -> WaitCauses {
    let waited = Nanos::from_millis(millis);
    WaitCauses { total: waited, own_group: waited, ..WaitCauses::default() }
}

/// Pools that divide the CPUs instead of lending them.
pub(crate) fn splitting() -> Policy {
    let mut policy = Policy::default();
    policy.placement.overlap_shared_reclaim = false;
    policy
}

pub(crate) fn cpus(list: &str) -> CpuSet {
    list.parse().expect("a CPU list")
}

pub(crate) fn layout_of(topology: &Topology, policy: &PlacementPolicy) -> Layout {
    Layout::new(topology, policy).expect("a machine")
}

/// A pod of one container that wishes nothing.
pub(crate) fn pod(name: &str, level: QosLevel, milli: u64) -> Pod {
    let requests = Requests { cpu: MilliCpu(milli), ..Requests::default() };
    let main = Container { name: "main".to_owned(), role: ContainerRole::App, requests };
    let level = (annotation::QOS_LEVEL.to_owned(), level.name().to_owned());
    Pod {
        uid: PodUid::from(name),
        name: WorkloadName::from(name),
        owner: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::from([level]),
        containers: vec![main],
        running: false,
    }
}

pub(crate) fn ask(name: &str, level: QosLevel, milli: u64) -> Ask {
    asking(name, level, milli, &[])
}

/// The same with inner keys of the memory enhancement.
pub(crate) fn asking(name: &str, level: QosLevel, milli: u64, wishes: &[(&str, &str)]) -> Ask {
    let mut pod = pod(name, level, milli);
    let inner = wishes.iter().map(|(key, value)| format!("{key:?}:{value:?}"));
    let text = format!("{{{}}}", inner.collect::<Vec<_>>().join(","));
    pod.annotations.insert(annotation::MEMORY_ENHANCEMENT.to_owned(), text);
    Ask::of(&pod, &QosRules::default()).expect("a pod")
}
