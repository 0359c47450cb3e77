//! Decided state and the way to it: `Plan`, `Overlay`, `Step`, `Outcome`, `Finding`. Values only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::burst::BurstState;
use crate::cpuset::CpuSet;
use crate::headroom::{Amount, Headroom, HeadroomState};
use crate::knob::{CpuMax, CpuWeight, Knob, KnobValue, Lane, MemoryLimit, OomScoreAdj};
use crate::ledger::Ledger;
use crate::memory::BinderState;
use crate::numa::NumaSet;
use crate::provision::ProvisionState;
use crate::qos::{CgroupPath, PoolName, QosLevel, WorkloadName};
use crate::units::{Bytes, Micros, MilliCpu, Nanos, Timestamp};

/// Counts Plans; a Step of an older generation than the newest seen is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// The whole decided state of the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub generation: Generation,
    pub built_at: Timestamp,
    /// Time of the Snapshot it was built from.
    pub snapshot_at: Timestamp,
    pub pools: BTreeMap<PoolName, PoolPlan>,
    pub workloads: BTreeMap<WorkloadName, WorkloadPlan>,
    /// Who was admitted and what was promised. Shared: it changes only when somebody comes or goes.
    pub ledger: Arc<Ledger>,
    /// What sizing remembers of each region with share pools: `share`, and `share-NUMA1` for the
    /// part that is bound to a node.
    pub regions: BTreeMap<PoolName, RegionState>,
    pub advice: Advice,
}

/// What the slower rules say, and what they remember from Plan to Plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advice {
    /// What reclaimed work may take; `None` before the first Plan of this agent.
    pub headroom: Option<Headroom>,
    pub headroom_state: HeadroomState,
    /// What was told last, of CPU and of memory.
    pub told: [Option<Amount>; 2],
    /// NUMA nodes that run out of memory.
    pub pressure: BinderState,
    pub bursts: BurstState,
    /// Sizes of regions, where a rule of `provision` makes them.
    pub provision: ProvisionState,
    /// Of reclaimed workloads, while a part of a quota stands in their `cpu.max`.
    pub ceilings: BTreeMap<WorkloadName, Ceiling>,
}

/// The quota that one workload may have by itself: its own limit where it came with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// One made anew under the same name came with another.
    pub cgroup: CgroupPath,
    pub max: CpuMax,
}

/// What the next turn has to know of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionState {
    /// CPUs of the region that reclaimed work is kept off.
    pub n_exclusive: u16,
    /// Since when the need is below that; hysteresis.
    pub low_since: Option<Timestamp>,
    /// For how many Plans in a row a workload's run-queue p99 was over its target; one late second
    /// is noise, two are a reason to move CPUs.
    pub late_ticks: u8,
}

/// One named cpuset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolPlan {
    pub cpus: CpuSet,
    /// What the pool's workloads need, before rounding and bounds.
    pub need: MilliCpu,
}

/// What one cgroup's files should hold. `None` leaves a file alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadPlan {
    pub qos: QosLevel,
    pub pool: PoolName,
    pub cgroup: CgroupPath,
    /// Of a pod: the cgroups that have the cpuset in place of `cgroup`.
    pub containers: Option<Arc<[CgroupPath]>>,
    pub cpus: CpuSet,
    pub cpu_weight: Option<CpuWeight>,
    pub cpu_idle: Option<bool>,
    pub cpu_max: Option<CpuMax>,
    pub cpu_burst: Option<Micros>,
    pub mems: Option<NumaSet>,
    pub memory_min: Option<MemoryLimit>,
    pub memory_low: Option<MemoryLimit>,
    pub memory_high: Option<MemoryLimit>,
    pub memory_max: Option<MemoryLimit>,
    pub oom_score_adj: Option<OomScoreAdj>,
}

impl WorkloadPlan {
    /// The cgroups whose file this is: of a pod's cpuset those of its containers.
    pub fn cgroups_with(&self, knob: Knob) -> &[CgroupPath] {
        match (knob, &self.containers) {
            (Knob::CpusetCpus | Knob::CpusetMems, Some(containers)) => containers,
            _ => std::slice::from_ref(&self.cgroup),
        }
    }

    /// What the Plan says of one file.
    pub fn get(&self, knob: Knob) -> Option<KnobValue> {
        match knob {
            Knob::CpuIdle => self.cpu_idle.map(KnobValue::CpuIdle),
            Knob::CpuWeight => self.cpu_weight.map(KnobValue::CpuWeight),
            Knob::CpuMax => self.cpu_max.map(KnobValue::CpuMax),
            Knob::CpuMaxBurst => self.cpu_burst.map(KnobValue::CpuMaxBurst),
            Knob::CpusetCpus => {
                Some(self.cpus).filter(|cpus| !cpus.is_empty()).map(KnobValue::CpusetCpus)
            }
            Knob::CpusetMems => self.mems.map(KnobValue::CpusetMems),
            Knob::MemoryMin => self.memory_min.map(KnobValue::MemoryMin),
            Knob::MemoryLow => self.memory_low.map(KnobValue::MemoryLow),
            Knob::MemoryHigh => self.memory_high.map(KnobValue::MemoryHigh),
            Knob::MemoryMax => self.memory_max.map(KnobValue::MemoryMax),
            Knob::OomScoreAdj => self.oom_score_adj.map(KnobValue::OomScoreAdj),
        }
    }
}

/// The fast path's answer: holds all reclaimed work down until it expires. Effective state is the
/// minimum of Plan and Overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    pub began_at: Timestamp,
    pub expires_at: Timestamp,
    /// What all reclaimed work together keeps once `throttle` is set.
    pub floor: MilliCpu,
    /// First stage: reclaimed groups run only when nobody else wants the CPU.
    pub cpu_idle: bool,
    /// Second stage: a quota of `floor` over all reclaimed work, for a victim that is still late
    /// although reclaimed work is idle class.
    pub throttle: bool,
    /// Whose wait began it.
    pub victim: WorkloadName,
    /// When the victim's first over-threshold wait was seen, kernel clock.
    pub first_wait_at: Timestamp,
}

/// One write of one value into one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub generation: Generation,
    pub workload: WorkloadName,
    pub cgroup: CgroupPath,
    pub value: KnobValue,
    pub phase: Phase,
    /// The rule that asked for it, for `explain`.
    pub rule: &'static str,
}

/// Which half of a change a Step belongs to. All Takes of a resource (CPUs, memory) come before its
/// Gives, and no Give is tried after a Take failed: what one owner did not let go, another must not
/// receive. Takes do not stop each other: one pod that cannot be suppressed must not spare the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Take,
    Give,
}

impl Step {
    pub fn lane(&self) -> Lane {
        self.value.knob().lane()
    }

    pub fn knob(&self) -> Knob {
        self.value.knob()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} = {}  [{}]", self.cgroup, self.knob().file(), self.value, self.rule)
    }
}

/// What the kernel said to one Step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub step: Step,
    pub result: Result<Applied, StepFailure>,
    pub finished_at: Timestamp,
    pub took: Nanos,
}

/// A Step that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Written and read back.
    Written,
    /// Written and read back, a `memory.max` below what the group used at that moment: the kernel
    /// reclaims and, where that is not enough, kills.
    WrittenBelowUse { in_use: Bytes },
    /// The file held the value already.
    AlreadyThere,
    /// Observe mode: nothing was written.
    DryRun,
    /// A newer generation made it obsolete before it was written.
    Superseded,
}

/// Why a Step was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFailure {
    pub kind: FailureKind,
    /// The errno, when the kernel gave one.
    pub errno: Option<i32>,
    /// One sentence with operation, path and value.
    pub message: String,
}

/// What a refusal means for the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// The cgroup is gone (ENOENT, ENODEV): forget it.
    Vanished,
    /// EBUSY, EAGAIN, EINTR: the next turn tries again.
    Busy,
    /// EINVAL, ERANGE: the value does not fit this kernel or this parent.
    Invalid,
    /// ENOSPC: an empty cpuset for a populated group.
    NoSpace,
    /// EACCES, EPERM, EROFS: not allowed; a finding until someone changes it.
    Denied,
    /// The file does not exist on this kernel.
    Unsupported,
    /// Written without an error, but the file holds something else.
    Mismatch,
    /// Not tried: a Take of the same batch failed.
    Held,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// A fatal failure stops the Steps behind it: they may rely on it for safety.
    pub const fn is_fatal(self) -> bool {
        !matches!(self, FailureKind::Vanished | FailureKind::Unsupported)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Note,
    Warning,
    /// The Plan must not be carried out.
    Fatal,
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// Stable kebab-case id, for metrics and `doctor`.
    pub rule: &'static str,
    pub subject: String,
    pub message: String,
}
