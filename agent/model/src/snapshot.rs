//! Derived state at one time: rates, quantiles, health. What every advisor reads. Built by
//! `derive`; holds no raw counters and no decisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::histogram::Histogram;
use crate::knob::Knobs;
use crate::measured::NodeMemory;
use crate::qos::{CgroupPath, WorkloadName};
use crate::sample::{Containers, Pressure, SourceFault, WaitCauses, WorkloadSpec};
use crate::topology::Topology;
use crate::units::{
    Bytes, CgroupId, CpuId, Micros, MilliCpu, Nanos, NumaNodeId, SlotId, Timestamp,
};

/// The node as the advisors see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub at: Timestamp,
    pub topology: Arc<Topology>,
    pub host: HostView,
    pub workloads: BTreeMap<WorkloadName, WorkloadView>,
    pub signal: Signal,
    /// Age and fault of every source, by its name: `topology`, `host`, `workloads`, `probe`.
    pub sources: BTreeMap<&'static str, SourceHealth>,
}

/// Freshness of one source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceHealth {
    /// `None`: never read.
    pub age: Option<Nanos>,
    pub fault: Option<SourceFault>,
}

/// The node as a whole since the previous sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostView {
    /// Share of all online CPU time that was not idle, 0..=1; `None` on the first sample.
    pub busy_ratio: Option<f64>,
    /// Share of all online CPU time taken by the hypervisor, 0..=1.
    pub steal_ratio: Option<f64>,
    pub cpu_busy_ratio: BTreeMap<CpuId, f64>,
    pub cpu_pressure: Option<Pressure>,
    pub memory_total: Option<Bytes>,
    pub memory_available: Option<Bytes>,
    /// Of each NUMA node, up to some seconds older than the rest.
    pub memory: BTreeMap<NumaNodeId, NodeMemory>,
}

/// How far the run-queue signal can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// BPF run-queue waits.
    Good,
    /// BPF works, but steal or a spinner distorts it: nothing may grow.
    Degraded { why: String },
    /// No BPF; PSI is the only witness of contention (about 0.5 s).
    PressureOnly { why: String },
    /// Neither: only requests and usage are known.
    None { why: String },
}

/// One workload, rates over the last sampling interval.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadView {
    pub spec: WorkloadSpec,
    pub cgroup: CgroupPath,
    pub cgroup_id: CgroupId,
    pub slot: SlotId,
    pub populated: bool,
    /// `None` on the first sample or where `cpu.stat` is missing.
    pub usage: Option<MilliCpu>,
    /// `None` without BPF.
    pub runq: Option<RunqView>,
    /// Share of enforcement periods in which its own quota throttled it, 0..=1.
    pub throttled_ratio: Option<f64>,
    pub cpu_pressure: Option<Pressure>,
    pub memory_current: Option<Bytes>,
    pub memory: MemoryView,
    pub io: IoView,
    pub knobs: Knobs,
    /// When `knobs` was read; a Step written later is newer than it.
    pub knobs_at: Timestamp,
    /// Read with `knobs`.
    pub containers: Containers,
}

/// What a workload's memory is, from `memory.stat`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryView {
    pub anon: Option<Bytes>,
    pub file: Option<Bytes>,
    /// Part of `file`.
    pub shmem: Option<Bytes>,
    /// Missing before kernel 5.18.
    pub kernel: Option<Bytes>,
    /// Older than the Snapshot: the file is read every ten seconds.
    pub health: SourceHealth,
    /// On each NUMA node; of reclaimed work on machines with more than one.
    pub per_node: BTreeMap<NumaNodeId, Bytes>,
    pub per_node_health: SourceHealth,
}

/// What a workload moves from and to block devices, from `io.stat`: all devices, over the time
/// between its last two readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IoView {
    /// Per second; `None` on the first reading, after a gap, or when a device went away.
    pub read: Option<Bytes>,
    /// Per second, as `read`.
    pub written: Option<Bytes>,
    pub health: SourceHealth,
}

/// Run-queue waits of one workload over the last interval.
#[derive(Clone, Debug, PartialEq)]
pub struct RunqView {
    pub waits: Histogram,
    pub p50: Option<Nanos>,
    pub p99: Option<Nanos>,
    pub p999: Option<Nanos>,
    pub on_cpu: Nanos,
    /// Tasks that ran or waited for a CPU, on average over the interval; those that its own quota
    /// held do not count. `None` when the reading is too old to speak of now.
    pub runnable: Option<f64>,
    /// Causes over the interval; parts sum to `total`.
    pub causes: WaitCauses,
}

impl WorkloadView {
    /// The p99 of the last interval in microseconds; `None` without BPF or without a wait.
    pub fn runq_p99(&self) -> Option<Micros> {
        self.runq.as_ref().and_then(|runq| runq.p99).map(Nanos::as_micros)
    }
}
