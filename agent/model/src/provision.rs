//! What the operator wants of sizes that follow measurement, and what is remembered between two of
//! them. Values only: `advisor::provision` decides, `wire` writes the state into the checkpoint.

use std::collections::BTreeMap;

use crate::qos::{PodUid, PoolName};
use crate::units::{Micros, MilliCpu, Nanos, Timestamp};

/// How measured numbers become CPUs of a region.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvisionPolicy {
    /// The first rule that can run decides, for each region anew.
    pub rules: Vec<SizeRule>,
    /// Measured usage times this is what a pod needs.
    pub usage_factor: f64,
    /// For a pod that asks for nothing and was never measured.
    pub unknown_pod: MilliCpu,
    pub share_targets: Targets,
    pub dedicated_targets: Targets,
    /// Bounds of what the controller adds to or takes from a size that stands.
    pub pid_down: MilliCpu,
    pub pid_up: MilliCpu,
    pub ramp: RampPolicy,
    pub isolation: IsolationPolicy,
    /// Busy share of the CPUs under reclaimed work that `DynamicQuota` aims at, 0..=1.
    pub quota_target_ratio: f64,
    /// Owners of whole NUMA nodes lend CPUs they do not need to reclaimed work.
    pub lend_exclusive: bool,
}

/// How a size is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeRule {
    /// Sizes are requests; nothing measured moves them.
    Requests,
    /// The sum of what each pod needs.
    Canonical,
    /// Moves the size until indicators are at their targets.
    Pid,
    /// Reclaimed work runs everywhere and a CPU quota limits it.
    DynamicQuota,
    /// Lateness on the run queue with hysteresis, which is `advisor::plan`'s own: nobody else has the
    /// causes of waiting that it needs.
    Runq,
}

impl SizeRule {
    pub const ALL: [SizeRule; 5] = [
        SizeRule::Requests,
        SizeRule::Canonical,
        SizeRule::Pid,
        SizeRule::DynamicQuota,
        SizeRule::Runq,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            SizeRule::Requests => "requests",
            SizeRule::Canonical => "canonical",
            SizeRule::Pid => "pid",
            SizeRule::DynamicQuota => "dynamic_quota",
            SizeRule::Runq => "runq",
        }
    }
}

/// What is measured of a region and held at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Indicator {
    RunqP99,
    UsageRatio,
    Cpi,
}

impl Indicator {
    pub const ALL: [Indicator; 3] = [Indicator::RunqP99, Indicator::UsageRatio, Indicator::Cpi];

    pub const fn name(self) -> &'static str {
        match self {
            Indicator::RunqP99 => "runq_p99",
            Indicator::UsageRatio => "usage_ratio",
            Indicator::Cpi => "cpi",
        }
    }

    pub fn from_name(name: &str) -> Option<Indicator> {
        Indicator::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Targets of the controller; `None` leaves an indicator out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets {
    pub runq_p99: Option<Micros>,
    /// Usage over the region's CPUs.
    pub usage_ratio: Option<f64>,
    pub cpi: Option<f64>,
}

/// How fast sizes move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RampPolicy {
    pub max_up: u16,
    pub max_down: u16,
    /// The least time between two steps down.
    pub down_every: Nanos,
    /// Sizes are whole cores.
    pub whole_cores: bool,
    /// Added to every size.
    pub extra: MilliCpu,
    /// No region is smaller, unless its requests are.
    pub min_cpus: u16,
}

/// When a pod that runs more tasks than it has CPUs gets a pool of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IsolationPolicy {
    pub enabled: bool,
    /// Noisy: more runnable tasks than its limit times this.
    pub factor: f64,
    /// Noisy as well: more than its limit and so many.
    pub over: MilliCpu,
    /// Measurements in a row before it is isolated.
    pub rounds: u8,
    /// Quiet for so long before it comes back.
    pub quiet: Nanos,
    /// Most of a pool's requests that may be isolated, 0..=1.
    pub max_cpu_ratio: f64,
    /// Most of a pool's pods.
    pub max_pods_ratio: f64,
}

/// Which knob holds reclaimed work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReclaimKnob {
    /// Nothing was measured yet: pools follow requests.
    #[default]
    Requests,
    /// The CPUs of its pool.
    Cpus,
    /// A quota; its pool is everything that may be reclaimed.
    Quota,
}

/// What is remembered between two measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProvisionState {
    pub knob: ReclaimKnob,
    /// By name of the region.
    pub regions: BTreeMap<PoolName, RegionState>,
    /// Pods that are, or may soon be, isolated.
    pub isolation: BTreeMap<PodUid, IsolationState>,
    /// Quota of the reclaim pool on NUMA nodes of their own, and of the rest as `reclaim`.
    pub quota: BTreeMap<PoolName, MilliCpu>,
}

/// One region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionState {
    pub n_cpus: u16,
    /// Requests when the size was decided: what was promised since comes on top.
    pub asked: MilliCpu,
    pub last_down: Option<Timestamp>,
    /// Sum of what the controller moved since the size last changed, by indicator.
    pub adjusted: BTreeMap<Indicator, MicroCpu>,
}

/// Signed millionths of a CPU, so that a checkpoint holds exactly what was computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MicroCpu(pub i64);

/// One pod that is or was noisy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IsolationState {
    pub noisy_rounds: u8,
    pub isolated: bool,
    pub quiet_since: Option<Timestamp>,
}

impl Default for ProvisionPolicy {
    fn default() -> Self {
        ProvisionPolicy {
            rules: vec![SizeRule::Requests],
            // A fifth of its CPUs is left for swings within the interval (Katalyst's estimate).
            usage_factor: 1.25,
            unknown_pod: MilliCpu(4000),
            share_targets: Targets {
                // Our loads keep their deadlines up to here; Katalyst's 460 is in its own unit.
                runq_p99: Some(Micros(2000)),
                usage_ratio: Some(0.8),
                cpi: None,
            },
            dedicated_targets: Targets { runq_p99: None, usage_ratio: Some(0.55), cpi: Some(1.4) },
            // Katalyst's rama: growth answers at once, shrinking step by step.
            pid_down: MilliCpu(2000),
            pid_up: MilliCpu(10_000),
            ramp: RampPolicy {
                max_up: 10,
                max_down: 2,
                down_every: Nanos::from_secs(30),
                whole_cores: false,
                extra: MilliCpu(0),
                min_cpus: 4,
            },
            isolation: IsolationPolicy {
                enabled: false,
                factor: 1.5,
                over: MilliCpu(2000),
                rounds: 3,
                quiet: Nanos::from_secs(120),
                max_cpu_ratio: 0.2,
                max_pods_ratio: 0.5,
            },
            quota_target_ratio: 0.8,
            lend_exclusive: true,
        }
    }
}
