//! What was measured of pods and memory, by the ids that placement knows: the input of provision,
//! headroom and memory placement. Owns the values; `Snapshot` is where they come from on a node, a
//! document on a desk. `None` is "not measured", never zero.

use std::collections::BTreeMap;

use crate::qos::PodUid;
use crate::units::{Bytes, CpuId, Micros, MilliCpu, NumaNodeId};

/// One interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    pub pods: BTreeMap<PodUid, PodMeasure>,
    /// Share of each CPU's time that was not idle, 0..=1.
    pub cpu_busy_ratio: BTreeMap<CpuId, f64>,
    pub memory: BTreeMap<NumaNodeId, NodeMemory>,
}

/// One pod, all its containers together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodMeasure {
    pub cpu: Option<MilliCpu>,
    /// Run-queue wait.
    pub runq_p99: Option<Micros>,
    /// Tasks that ran or wanted to, on average.
    pub runnable: Option<f64>,
    /// Cycles per instruction, where the machine counts them.
    pub cpi: Option<f64>,
    /// Share of enforcement periods in which the pod's own quota throttled it, 0..=1.
    pub throttled_ratio: Option<f64>,
    pub rss: Option<Bytes>,
    /// Page cache without `shmem`.
    pub cache: Option<Bytes>,
    pub shmem: Option<Bytes>,
}

/// Memory of one NUMA node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeMemory {
    pub total: Bytes,
    pub free: Bytes,
    pub inactive_file: Option<Bytes>,
    /// The kernel's low watermark, `/proc/zoneinfo`.
    pub low_watermark: Option<Bytes>,
    /// Used by reclaimed pods.
    pub reclaimed_used: Option<Bytes>,
}
