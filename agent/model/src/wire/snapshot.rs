//! Wire form of a Snapshot, complete enough to plan from it again (`replay`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::container::{self, Containers};
use super::plan::qos;
use super::{Knobs, WireError, Wish, bad, parsed};
use crate::cpuset::CpuSet;
use crate::derive::{HOST, PROBE, TOPOLOGY, WORKLOADS};
use crate::enhancement::Enhancements;
use crate::histogram::{Histogram, N_BUCKETS};
use crate::measured;
use crate::qos::{CgroupPath, WorkloadName};
use crate::sample;
use crate::snapshot as inner;
use crate::topology;
use crate::units::{
    Bytes, CgroupId, CoreId, CpuId, LlcId, Micros, MilliCpu, Nanos, NumaNodeId, SlotId, SocketId,
    Timestamp,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    at_ns: u64,
    topology: Topology,
    host: Host,
    workloads: BTreeMap<String, Workload>,
    signal: Signal,
    sources: BTreeMap<String, SourceHealth>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Topology {
    cpus: Vec<Cpu>,
    nodes: Vec<Node>,
    offline: String,
    /// Later than the first schema 1.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    efficiency: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cpu {
    id: u16,
    online: bool,
    core: u16,
    socket: u16,
    node: u16,
    llc: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    id: u16,
    cpus: String,
    memory_bytes: Option<u64>,
    distances: BTreeMap<u16, u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Host {
    busy_ratio: Option<f64>,
    steal_ratio: Option<f64>,
    cpu_busy_ratio: BTreeMap<u16, f64>,
    cpu_pressure: Option<Pressure>,
    memory_total_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    #[serde(default)]
    memory: BTreeMap<u16, NodeMemory>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NodeMemory {
    total_bytes: u64,
    free_bytes: u64,
    inactive_file_bytes: Option<u64>,
    low_watermark_bytes: Option<u64>,
    reclaimed_used_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pressure {
    some: PressureLine,
    full: Option<PressureLine>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PressureLine {
    avg10_pct: f64,
    avg60_pct: f64,
    avg300_pct: f64,
    total_us: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Signal {
    Good,
    Degraded { why: String },
    PressureOnly { why: String },
    None { why: String },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SourceHealth {
    age_ns: Option<u64>,
    fault: Option<Fault>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Fault {
    Absent { what: String },
    Unsupported { why: String },
    Broken { error: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Workload {
    qos: String,
    request_milli: u64,
    #[serde(default)]
    memory_request_bytes: u64,
    /// Absent in records from before, and for a workload that wishes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wish: Option<Wish>,
    target_p99_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given_cpus: Option<String>,
    cgroup: String,
    cgroup_id: u64,
    slot: u16,
    populated: bool,
    usage_milli: Option<u64>,
    runq: Option<Runq>,
    throttled_ratio: Option<f64>,
    cpu_pressure: Option<Pressure>,
    memory_current_bytes: Option<u64>,
    /// Added without a new schema: a record from before has none.
    #[serde(default)]
    memory: Memory,
    #[serde(default)]
    io: Io,
    knobs: Knobs,
    knobs_at_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Containers,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Memory {
    anon_bytes: Option<u64>,
    file_bytes: Option<u64>,
    #[serde(default)]
    shmem_bytes: Option<u64>,
    kernel_bytes: Option<u64>,
    health: SourceHealth,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    per_node_bytes: BTreeMap<u16, u64>,
    #[serde(default)]
    per_node_health: SourceHealth,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Io {
    read_bytes_per_s: Option<u64>,
    written_bytes_per_s: Option<u64>,
    health: SourceHealth,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Runq {
    /// Counts by power of two of nanoseconds, without the empty tail.
    waits: Vec<u64>,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
    p999_ns: Option<u64>,
    on_cpu_ns: u64,
    /// Absent in records from before.
    #[serde(default)]
    runnable: Option<f64>,
    causes: Causes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Causes {
    total_ns: u64,
    by_offender_ns: BTreeMap<u16, u64>,
    own_throttle_ns: u64,
    own_group_ns: u64,
    idle_or_steal_ns: u64,
    untracked_ns: u64,
    unknown_ns: u64,
}

impl From<&inner::Snapshot> for Snapshot {
    fn from(snapshot: &inner::Snapshot) -> Snapshot {
        let workloads = snapshot.workloads.iter();
        let sources = snapshot.sources.iter();
        Snapshot {
            at_ns: snapshot.at.0,
            topology: Topology::from(&*snapshot.topology),
            host: Host::from(&snapshot.host),
            workloads: workloads.map(|(name, w)| (name.to_string(), w.into())).collect(),
            signal: Signal::from(&snapshot.signal),
            sources: sources.map(|(name, health)| ((*name).to_owned(), health.into())).collect(),
        }
    }
}

impl TryFrom<Snapshot> for inner::Snapshot {
    type Error = WireError;

    fn try_from(snapshot: Snapshot) -> Result<inner::Snapshot, WireError> {
        let mut workloads = BTreeMap::new();
        for (name, workload) in snapshot.workloads {
            workloads.insert(WorkloadName::new(name), workload.try_into()?);
        }
        let mut sources = BTreeMap::new();
        for (name, health) in snapshot.sources {
            let known = [TOPOLOGY, HOST, WORKLOADS, PROBE].into_iter().find(|known| *known == name);
            sources.insert(known.ok_or_else(|| bad("source", name))?, health.into());
        }
        Ok(inner::Snapshot {
            at: Timestamp(snapshot.at_ns),
            topology: Arc::new(snapshot.topology.try_into()?),
            host: snapshot.host.into(),
            workloads,
            signal: snapshot.signal.into(),
            sources,
        })
    }
}

impl From<&topology::Topology> for Topology {
    fn from(topology: &topology::Topology) -> Topology {
        let cpus = topology.cpus.values().map(|cpu| Cpu {
            id: cpu.id.0,
            online: cpu.online,
            core: cpu.core.0,
            socket: cpu.socket.0,
            node: cpu.node.0,
            llc: cpu.llc.map(|llc| llc.0),
        });
        let nodes = topology.nodes.values().map(|node| Node {
            id: node.id.0,
            cpus: node.cpus.to_string(),
            memory_bytes: node.memory.map(|memory| memory.0),
            distances: node.distances.iter().map(|(to, distance)| (to.0, *distance)).collect(),
        });
        Topology {
            cpus: cpus.collect(),
            nodes: nodes.collect(),
            offline: topology.offline.to_string(),
            efficiency: topology.efficiency.to_string(),
        }
    }
}

impl TryFrom<Topology> for topology::Topology {
    type Error = WireError;

    fn try_from(wire: Topology) -> Result<topology::Topology, WireError> {
        let cpus = wire.cpus.into_iter().map(|cpu| topology::Cpu {
            id: CpuId(cpu.id),
            online: cpu.online,
            core: CoreId(cpu.core),
            socket: SocketId(cpu.socket),
            node: NumaNodeId(cpu.node),
            llc: cpu.llc.map(LlcId),
        });
        let mut nodes = BTreeMap::new();
        for node in wire.nodes {
            let distances = node.distances.into_iter();
            let id = NumaNodeId(node.id);
            let node = topology::NumaNode {
                id,
                cpus: parsed("node.cpus", &node.cpus)?,
                memory: node.memory_bytes.map(Bytes),
                distances: distances.map(|(to, distance)| (NumaNodeId(to), distance)).collect(),
            };
            nodes.insert(id, node);
        }
        Ok(topology::Topology {
            cpus: cpus.map(|cpu| (cpu.id, cpu)).collect(),
            nodes,
            offline: parsed("topology.offline", &wire.offline)?,
            efficiency: parsed("topology.efficiency", &wire.efficiency)?,
        })
    }
}

impl From<&inner::HostView> for Host {
    fn from(host: &inner::HostView) -> Host {
        Host {
            busy_ratio: host.busy_ratio,
            steal_ratio: host.steal_ratio,
            cpu_busy_ratio: host.cpu_busy_ratio.iter().map(|(cpu, busy)| (cpu.0, *busy)).collect(),
            cpu_pressure: host.cpu_pressure.as_ref().map(Pressure::from),
            memory_total_bytes: host.memory_total.map(|memory| memory.0),
            memory_available_bytes: host.memory_available.map(|memory| memory.0),
            memory: host.memory.iter().map(|(id, node)| (id.0, node.into())).collect(),
        }
    }
}

impl From<Host> for inner::HostView {
    fn from(host: Host) -> inner::HostView {
        let cpus = host.cpu_busy_ratio.into_iter();
        let memory = host.memory.into_iter();
        inner::HostView {
            busy_ratio: host.busy_ratio,
            steal_ratio: host.steal_ratio,
            cpu_busy_ratio: cpus.map(|(cpu, busy)| (CpuId(cpu), busy)).collect(),
            cpu_pressure: host.cpu_pressure.map(sample::Pressure::from),
            memory_total: host.memory_total_bytes.map(Bytes),
            memory_available: host.memory_available_bytes.map(Bytes),
            memory: memory.map(|(id, node)| (NumaNodeId(id), node.into())).collect(),
        }
    }
}

impl From<&measured::NodeMemory> for NodeMemory {
    fn from(node: &measured::NodeMemory) -> NodeMemory {
        NodeMemory {
            total_bytes: node.total.0,
            free_bytes: node.free.0,
            inactive_file_bytes: node.inactive_file.map(|bytes| bytes.0),
            low_watermark_bytes: node.low_watermark.map(|bytes| bytes.0),
            reclaimed_used_bytes: node.reclaimed_used.map(|bytes| bytes.0),
        }
    }
}

impl From<NodeMemory> for measured::NodeMemory {
    fn from(node: NodeMemory) -> measured::NodeMemory {
        measured::NodeMemory {
            total: Bytes(node.total_bytes),
            free: Bytes(node.free_bytes),
            inactive_file: node.inactive_file_bytes.map(Bytes),
            low_watermark: node.low_watermark_bytes.map(Bytes),
            reclaimed_used: node.reclaimed_used_bytes.map(Bytes),
        }
    }
}

impl From<&sample::Pressure> for Pressure {
    fn from(pressure: &sample::Pressure) -> Pressure {
        let line = |line: &sample::PressureLine| PressureLine {
            avg10_pct: line.avg10_pct,
            avg60_pct: line.avg60_pct,
            avg300_pct: line.avg300_pct,
            total_us: line.total.0,
        };
        Pressure { some: line(&pressure.some), full: pressure.full.as_ref().map(line) }
    }
}

impl From<Pressure> for sample::Pressure {
    fn from(pressure: Pressure) -> sample::Pressure {
        let line = |line: PressureLine| sample::PressureLine {
            avg10_pct: line.avg10_pct,
            avg60_pct: line.avg60_pct,
            avg300_pct: line.avg300_pct,
            total: Micros(line.total_us),
        };
        sample::Pressure { some: line(pressure.some), full: pressure.full.map(line) }
    }
}

impl From<&inner::Signal> for Signal {
    fn from(signal: &inner::Signal) -> Signal {
        match signal {
            inner::Signal::Good => Signal::Good,
            inner::Signal::Degraded { why } => Signal::Degraded { why: why.clone() },
            inner::Signal::PressureOnly { why } => Signal::PressureOnly { why: why.clone() },
            inner::Signal::None { why } => Signal::None { why: why.clone() },
        }
    }
}

impl From<Signal> for inner::Signal {
    fn from(signal: Signal) -> inner::Signal {
        match signal {
            Signal::Good => inner::Signal::Good,
            Signal::Degraded { why } => inner::Signal::Degraded { why },
            Signal::PressureOnly { why } => inner::Signal::PressureOnly { why },
            Signal::None { why } => inner::Signal::None { why },
        }
    }
}

impl From<&sample::SourceFault> for Fault {
    fn from(fault: &sample::SourceFault) -> Fault {
        match fault.clone() {
            sample::SourceFault::Absent { what } => Fault::Absent { what },
            sample::SourceFault::Unsupported { why } => Fault::Unsupported { why },
            sample::SourceFault::Broken { error } => Fault::Broken { error },
        }
    }
}

impl From<Fault> for sample::SourceFault {
    fn from(fault: Fault) -> sample::SourceFault {
        match fault {
            Fault::Absent { what } => sample::SourceFault::Absent { what },
            Fault::Unsupported { why } => sample::SourceFault::Unsupported { why },
            Fault::Broken { error } => sample::SourceFault::Broken { error },
        }
    }
}

impl From<&inner::SourceHealth> for SourceHealth {
    fn from(health: &inner::SourceHealth) -> SourceHealth {
        let fault = health.fault.as_ref().map(Fault::from);
        SourceHealth { age_ns: health.age.map(|age| age.0), fault }
    }
}

impl From<SourceHealth> for inner::SourceHealth {
    fn from(health: SourceHealth) -> inner::SourceHealth {
        let fault = health.fault.map(sample::SourceFault::from);
        inner::SourceHealth { age: health.age_ns.map(Nanos), fault }
    }
}

impl From<&inner::WorkloadView> for Workload {
    fn from(view: &inner::WorkloadView) -> Workload {
        Workload {
            qos: view.spec.qos.to_string(),
            request_milli: view.spec.request.0,
            memory_request_bytes: view.spec.memory_request.0,
            wish: wish(&view.spec),
            target_p99_us: view.spec.target_p99.map(|target| target.0),
            given_cpus: given_text(&view.spec),
            cgroup: view.cgroup.to_string(),
            cgroup_id: view.cgroup_id.0,
            slot: view.slot.0,
            populated: view.populated,
            usage_milli: view.usage.map(|usage| usage.0),
            runq: view.runq.as_ref().map(Runq::from),
            throttled_ratio: view.throttled_ratio,
            cpu_pressure: view.cpu_pressure.as_ref().map(Pressure::from),
            memory_current_bytes: view.memory_current.map(|memory| memory.0),
            memory: Memory::from(&view.memory),
            io: Io::from(&view.io),
            knobs: Knobs::from(&view.knobs),
            knobs_at_ns: view.knobs_at.0,
            containers: container::written(&view.containers),
        }
    }
}

pub(super) fn wish(spec: &sample::WorkloadSpec) -> Option<Wish> {
    let plain = *spec.wish == Enhancements::none(spec.qos);
    (!plain).then(|| Wish::from(&*spec.wish))
}

impl TryFrom<Workload> for inner::WorkloadView {
    type Error = WireError;

    fn try_from(workload: Workload) -> Result<inner::WorkloadView, WireError> {
        Ok(inner::WorkloadView {
            spec: sample::WorkloadSpec {
                given: given(workload.given_cpus)?,
                ..spec((
                    &workload.qos,
                    workload.request_milli,
                    workload.memory_request_bytes,
                    workload.target_p99_us,
                    workload.wish,
                ))?
            },
            cgroup: CgroupPath::new(workload.cgroup),
            cgroup_id: CgroupId(workload.cgroup_id),
            slot: SlotId(workload.slot),
            populated: workload.populated,
            usage: workload.usage_milli.map(MilliCpu),
            runq: workload.runq.map(inner::RunqView::try_from).transpose()?,
            throttled_ratio: workload.throttled_ratio,
            cpu_pressure: workload.cpu_pressure.map(sample::Pressure::from),
            memory_current: workload.memory_current_bytes.map(Bytes),
            memory: workload.memory.into(),
            io: workload.io.into(),
            knobs: workload.knobs.try_into()?,
            knobs_at: Timestamp(workload.knobs_at_ns),
            containers: container::read(workload.containers)?,
        })
    }
}

/// A spec by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spec {
    qos: String,
    request_milli: u64,
    memory_request_bytes: u64,
    target_p99_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given_cpus: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wish: Option<Wish>,
}

impl From<&sample::WorkloadSpec> for Spec {
    fn from(spec: &sample::WorkloadSpec) -> Spec {
        Spec {
            qos: spec.qos.to_string(),
            request_milli: spec.request.0,
            memory_request_bytes: spec.memory_request.0,
            target_p99_us: spec.target_p99.map(|target| target.0),
            given_cpus: given_text(spec),
            wish: wish(spec),
        }
    }
}

impl TryFrom<Spec> for sample::WorkloadSpec {
    type Error = WireError;

    fn try_from(it: Spec) -> Result<sample::WorkloadSpec, WireError> {
        Ok(sample::WorkloadSpec {
            given: given(it.given_cpus)?,
            ..spec((&it.qos, it.request_milli, it.memory_request_bytes, it.target_p99_us, it.wish))?
        })
    }
}

pub(super) fn given_text(spec: &sample::WorkloadSpec) -> Option<String> {
    spec.given.map(|cpus| cpus.to_string())
}

pub(super) fn given(text: Option<String>) -> Result<Option<CpuSet>, WireError> {
    text.map(|text| parsed("given_cpus", &text)).transpose()
}

/// `qos`, requests in mCPU and bytes, the target of p99 in microseconds, and a wish that is not plain.
pub(super) type SpecParts<'a> = (&'a str, u64, u64, Option<u64>, Option<Wish>);

pub(super) fn spec(parts: SpecParts<'_>) -> Result<sample::WorkloadSpec, WireError> {
    let (level, request_milli, memory_request_bytes, target_p99_us, wish) = parts;
    let plain = sample::WorkloadSpec::plain(qos(level)?, MilliCpu(request_milli));
    let wish = match wish {
        Some(wish) => Arc::new(wish.try_into()?),
        None => plain.wish,
    };
    let memory_request = Bytes(memory_request_bytes);
    let target_p99 = target_p99_us.map(Micros);
    Ok(sample::WorkloadSpec { memory_request, target_p99, wish, ..plain })
}

impl From<&inner::MemoryView> for Memory {
    fn from(memory: &inner::MemoryView) -> Memory {
        Memory {
            anon_bytes: memory.anon.map(|bytes| bytes.0),
            file_bytes: memory.file.map(|bytes| bytes.0),
            shmem_bytes: memory.shmem.map(|bytes| bytes.0),
            kernel_bytes: memory.kernel.map(|bytes| bytes.0),
            health: SourceHealth::from(&memory.health),
            per_node_bytes: memory.per_node.iter().map(|(id, used)| (id.0, used.0)).collect(),
            per_node_health: SourceHealth::from(&memory.per_node_health),
        }
    }
}

impl From<Memory> for inner::MemoryView {
    fn from(memory: Memory) -> inner::MemoryView {
        let per_node = memory.per_node_bytes.into_iter();
        inner::MemoryView {
            anon: memory.anon_bytes.map(Bytes),
            file: memory.file_bytes.map(Bytes),
            shmem: memory.shmem_bytes.map(Bytes),
            kernel: memory.kernel_bytes.map(Bytes),
            health: memory.health.into(),
            per_node: per_node.map(|(id, used)| (NumaNodeId(id), Bytes(used))).collect(),
            per_node_health: memory.per_node_health.into(),
        }
    }
}

impl From<&inner::IoView> for Io {
    fn from(io: &inner::IoView) -> Io {
        Io {
            read_bytes_per_s: io.read.map(|bytes| bytes.0),
            written_bytes_per_s: io.written.map(|bytes| bytes.0),
            health: SourceHealth::from(&io.health),
        }
    }
}

impl From<Io> for inner::IoView {
    fn from(io: Io) -> inner::IoView {
        inner::IoView {
            read: io.read_bytes_per_s.map(Bytes),
            written: io.written_bytes_per_s.map(Bytes),
            health: io.health.into(),
        }
    }
}

impl From<&inner::RunqView> for Runq {
    fn from(runq: &inner::RunqView) -> Runq {
        let used = runq.waits.buckets.iter().rposition(|count| *count > 0).map_or(0, |idx| idx + 1);
        Runq {
            waits: runq.waits.buckets[..used].to_vec(),
            p50_ns: runq.p50.map(|wait| wait.0),
            p99_ns: runq.p99.map(|wait| wait.0),
            p999_ns: runq.p999.map(|wait| wait.0),
            on_cpu_ns: runq.on_cpu.0,
            runnable: runq.runnable,
            causes: Causes::from(&runq.causes),
        }
    }
}

impl TryFrom<Runq> for inner::RunqView {
    type Error = WireError;

    fn try_from(runq: Runq) -> Result<inner::RunqView, WireError> {
        if runq.waits.len() > N_BUCKETS {
            return Err(bad("runq.waits", format!("{} buckets", runq.waits.len())));
        }
        let mut waits = Histogram::default();
        for (bucket, count) in waits.buckets.iter_mut().zip(runq.waits) {
            *bucket = count;
        }
        Ok(inner::RunqView {
            waits,
            p50: runq.p50_ns.map(Nanos),
            p99: runq.p99_ns.map(Nanos),
            p999: runq.p999_ns.map(Nanos),
            on_cpu: Nanos(runq.on_cpu_ns),
            runnable: runq.runnable,
            causes: runq.causes.into(),
        })
    }
}

impl From<&sample::WaitCauses> for Causes {
    fn from(causes: &sample::WaitCauses) -> Causes {
        let offenders = causes.by_offender.iter();
        Causes {
            total_ns: causes.total.0,
            by_offender_ns: offenders.map(|(slot, waited)| (slot.0, waited.0)).collect(),
            own_throttle_ns: causes.own_throttle.0,
            own_group_ns: causes.own_group.0,
            idle_or_steal_ns: causes.idle_or_steal.0,
            untracked_ns: causes.untracked.0,
            unknown_ns: causes.unknown.0,
        }
    }
}

impl From<Causes> for sample::WaitCauses {
    fn from(causes: Causes) -> sample::WaitCauses {
        let offenders = causes.by_offender_ns.into_iter();
        sample::WaitCauses {
            total: Nanos(causes.total_ns),
            by_offender: offenders.map(|(slot, waited)| (SlotId(slot), Nanos(waited))).collect(),
            own_throttle: Nanos(causes.own_throttle_ns),
            own_group: Nanos(causes.own_group_ns),
            idle_or_steal: Nanos(causes.idle_or_steal_ns),
            untracked: Nanos(causes.untracked_ns),
            unknown: Nanos(causes.unknown_ns),
        }
    }
}
