//! What the operator wants. Values only: reading it from a file is the agent's, later sources
//! (CRD, control plane) merge into the same struct.

use crate::burst::BurstRules;
use crate::cpuset::CpuSet;
use crate::headroom::HeadroomPolicy;
use crate::knob::CpuWeight;
use crate::memory::MemoryPolicy;
use crate::placement::{PlacementPolicy, ReclaimReserve};
use crate::provision::{ProvisionPolicy, SizeRule};
use crate::units::{Micros, MilliCpu, Nanos};

/// Whether Steps are written or only planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Observe,
    Enforce,
}

/// The operator's wishes and limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub mode: Mode,
    /// Reserve, overlap, reclaim reserve, hints, admission.
    pub placement: PlacementPolicy,
    pub share: SharePolicy,
    pub reclaim: ReclaimPolicy,
    pub suppression: SuppressionPolicy,
    /// How measurements become sizes of share pools.
    pub provision: ProvisionPolicy,
    pub headroom: HeadroomPolicy,
    pub memory: MemoryPolicy,
    pub burst: BurstRules,
    /// A Plan is never built from a source older than this.
    pub max_sample_age: Nanos,
    /// With stale input the last Plan is kept for this long, then reclaimed work shrinks to its
    /// floor.
    pub keep_stale_plan: Nanos,
}

/// CPUs kept for the system and the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// So many CPUs, spread over NUMA nodes, one hyper-thread at a time; 0 on small machines.
    Count(u16),
    Cpus(CpuSet),
}

/// Sizing of the share pool.
#[derive(Clone, Debug, PartialEq)]
pub struct SharePolicy {
    /// Measured usage is multiplied by this to leave room for bursts (1.25 is a quarter more).
    pub usage_margin: f64,
    /// The pool shrinks only when the need stayed lower for this long.
    pub shrink_after: Nanos,
    /// The pool shrinks by at most so many CPUs per tick (bounded: it gives CPUs to batch).
    pub max_shrink_per_tick: u16,
    /// Run-queue p99 that a shared workload without a target of its own should stay under.
    pub default_target_p99: Micros,
}

/// What batch work gets.
#[derive(Clone, Debug, PartialEq)]
pub struct ReclaimPolicy {
    /// `cpu.weight` of reclaimed work that is not suppressed.
    pub weight: CpuWeight,
    /// Growth of the reclaim pool per tick, in CPUs; shrinking is not bounded.
    pub max_growth_per_tick: u16,
}

/// The fast path.
#[derive(Clone, Debug, PartialEq)]
pub struct SuppressionPolicy {
    pub enabled: bool,
    /// Time an overlay lives unless it is renewed.
    pub hold: Nanos,
    /// All reclaimed work together keeps at least this much CPU while suppressed.
    pub floor: MilliCpu,
    /// How often in a row the hold doubles when a burst comes right after its end; 4 makes it
    /// sixteen times as long, which is longer than the slow tick needs to move CPUs instead.
    pub max_doublings: u8,
    /// Also set `cpu.idle`, which preempts at wake-up.
    pub use_cpu_idle: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            mode: Mode::Observe,
            placement: PlacementPolicy {
                reclaim_enabled: true,
                // One CPU: on a small machine more would be half of it.
                reclaim_reserve: ReclaimReserve::Count(1),
                overlap_shared_reclaim: true,
                ..PlacementPolicy::default()
            },
            share: SharePolicy {
                usage_margin: 1.25,
                shrink_after: Nanos::from_secs(10),
                max_shrink_per_tick: 1,
                default_target_p99: Micros(5_000),
            },
            reclaim: ReclaimPolicy { weight: CpuWeight::MIN, max_growth_per_tick: 4 },
            suppression: SuppressionPolicy {
                enabled: true,
                // Twice the tick, so that a tick always falls into it and can renew it.
                hold: Nanos::from_millis(2_000),
                floor: MilliCpu(100),
                max_doublings: 4,
                use_cpu_idle: true,
            },
            provision: ProvisionPolicy {
                rules: vec![SizeRule::Runq],
                // CPUs that somebody owns are nobody else's on a node that runs.
                lend_exclusive: false,
                ..ProvisionPolicy::default()
            },
            headroom: HeadroomPolicy::default(),
            memory: MemoryPolicy::default(),
            burst: BurstRules::default(),
            max_sample_age: Nanos::from_secs(3),
            keep_stale_plan: Nanos::from_secs(10),
        }
    }
}
