//! What the operator wants of placement: who may have which CPUs and NUMA nodes. Values only.

use std::collections::BTreeSet;

use crate::cpuset::CpuSet;
use crate::policy::Reserve;
use crate::qos::QosRules;
use crate::units::Nanos;

/// Rules of admission, hints and pools.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacementPolicy {
    pub reserve: Reserve,
    /// CPUs that the kubelet keeps for the system (`reservedSystemCPUs`). They are reserved whatever `reserve` says, and count towards it.
    pub kept: CpuSet,
    /// CPUs that no pod ever gets (the interrupt pool).
    pub forbidden: CpuSet,
    /// Reclaimed work takes what others leave; off, it has its reserve only.
    pub reclaim_enabled: bool,
    pub reclaim_reserve: ReclaimReserve,
    /// Share pools take all CPUs of their region and reclaimed work runs on what they do not ask
    /// for.
    pub overlap_shared_reclaim: bool,
    /// Requests of memory must fit the nodes that a pod may use; only all of it counts otherwise.
    pub check_memory: bool,
    /// Reclaimed pods may bind to a NUMA node.
    pub reclaim_numa_binding: bool,
    pub numa_hint: NumaHintPolicy,
    /// A dynamically packed node keeps at least this part of its CPUs, 0..=1.
    pub packing_keep_ratio: f64,
    pub topology: TopologyPolicy,
    /// Resources that the numeric policy aligns.
    pub align_resources: BTreeSet<String>,
    /// How long a new shared pod runs on all CPUs before it is confined to its pool.
    pub ramp_up: Nanos,
    /// How long the NUMA nodes of an exclusive pod are remembered for its successor.
    pub pre_occupation: Nanos,
    pub qos: QosRules,
}

/// CPUs that the reclaim pool always has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReclaimReserve {
    /// Four, or one per NUMA node where there are more.
    PerNode,
    Count(u16),
    Cpus(CpuSet),
}

/// Which node a NUMA-bound shared pod prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumaHintPolicy {
    /// Where most is left.
    Spreading,
    /// Where least is left.
    Packing,
    /// Packs nodes that keep `packing_keep_ratio`, spreads when there is none.
    DynamicPacking,
}

impl NumaHintPolicy {
    pub const ALL: [NumaHintPolicy; 3] =
        [NumaHintPolicy::Spreading, NumaHintPolicy::Packing, NumaHintPolicy::DynamicPacking];

    pub const fn name(self) -> &'static str {
        match self {
            NumaHintPolicy::Spreading => "spreading",
            NumaHintPolicy::Packing => "packing",
            NumaHintPolicy::DynamicPacking => "dynamic_packing",
        }
    }
}

/// How hints become a decision (kubelet's topology manager, KEP-693, and Katalyst's numeric).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopologyPolicy {
    None,
    BestEffort,
    Restricted,
    SingleNumaNode,
    Numeric,
}

impl TopologyPolicy {
    pub const ALL: [TopologyPolicy; 5] = [
        TopologyPolicy::None,
        TopologyPolicy::BestEffort,
        TopologyPolicy::Restricted,
        TopologyPolicy::SingleNumaNode,
        TopologyPolicy::Numeric,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            TopologyPolicy::None => "none",
            TopologyPolicy::BestEffort => "best-effort",
            TopologyPolicy::Restricted => "restricted",
            TopologyPolicy::SingleNumaNode => "single-numa-node",
            TopologyPolicy::Numeric => "numeric",
        }
    }
}

impl Default for PlacementPolicy {
    fn default() -> Self {
        PlacementPolicy {
            reserve: Reserve::Count(0),
            kept: CpuSet::EMPTY,
            forbidden: CpuSet::EMPTY,
            reclaim_enabled: false,
            reclaim_reserve: ReclaimReserve::PerNode,
            overlap_shared_reclaim: false,
            check_memory: true,
            reclaim_numa_binding: true,
            numa_hint: NumaHintPolicy::Spreading,
            // Half of a node stays free for what its pods grow to.
            packing_keep_ratio: 0.5,
            topology: TopologyPolicy::BestEffort,
            align_resources: BTreeSet::from(["cpu".to_owned(), "memory".to_owned()]),
            // Long enough for a service to start and be measured.
            ramp_up: Nanos::from_secs(30),
            // A rolling update replaces a pod within minutes.
            pre_occupation: Nanos::from_secs(300),
            qos: QosRules::default(),
        }
    }
}
