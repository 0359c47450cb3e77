//! Wire form of the Policy that stood when something was recorded.

mod provision;
mod resources;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{WireError, bad, parsed};
use crate::knob::CpuWeight;
use crate::placement::{self, NumaHintPolicy, TopologyPolicy};
use crate::policy as inner;
use crate::qos::QosRules;
use crate::units::{Micros, MilliCpu, Nanos};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    mode: String,
    placement: Placement,
    share: Share,
    reclaim: Reclaim,
    suppression: Suppression,
    #[serde(default)]
    provision: provision::Provision,
    #[serde(default)]
    headroom: resources::Headroom,
    #[serde(default)]
    memory: resources::Memory,
    #[serde(default)]
    burst: resources::Burst,
    max_sample_age_ns: u64,
    keep_stale_plan_ns: u64,
}

/// All but the rules by which a pod's annotations are read: an agent cannot be given others, and
/// what was read by them stands in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Placement {
    reserve: Reserve,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    kept: String,
    forbidden: String,
    reclaim_enabled: bool,
    reclaim_reserve: ReclaimReserve,
    overlap_shared_reclaim: bool,
    reclaim_numa_binding: bool,
    numa_hint: String,
    packing_keep_ratio: f64,
    topology: String,
    align_resources: BTreeSet<String>,
    ramp_up_ns: u64,
    pre_occupation_ns: u64,
    #[serde(default = "yes")]
    check_memory: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReclaimReserve {
    PerNode,
    Count(u16),
    Cpus(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reserve {
    Count(u16),
    Cpus(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Share {
    usage_margin: f64,
    shrink_after_ns: u64,
    max_shrink_per_tick: u16,
    default_target_p99_us: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reclaim {
    weight: u16,
    max_growth_per_tick: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Suppression {
    enabled: bool,
    hold_ns: u64,
    floor_milli: u64,
    max_doublings: u8,
    use_cpu_idle: bool,
}

impl From<&inner::Policy> for Policy {
    fn from(policy: &inner::Policy) -> Policy {
        let inner::Policy { share, reclaim, suppression, .. } = policy;
        Policy {
            mode: match policy.mode {
                inner::Mode::Observe => "observe".to_owned(),
                inner::Mode::Enforce => "enforce".to_owned(),
            },
            placement: Placement::from(&policy.placement),
            share: Share {
                usage_margin: share.usage_margin,
                shrink_after_ns: share.shrink_after.0,
                max_shrink_per_tick: share.max_shrink_per_tick,
                default_target_p99_us: share.default_target_p99.0,
            },
            reclaim: Reclaim {
                weight: reclaim.weight.get(),
                max_growth_per_tick: reclaim.max_growth_per_tick,
            },
            suppression: Suppression {
                enabled: suppression.enabled,
                hold_ns: suppression.hold.0,
                floor_milli: suppression.floor.0,
                max_doublings: suppression.max_doublings,
                use_cpu_idle: suppression.use_cpu_idle,
            },
            provision: provision::Provision::from(&policy.provision),
            headroom: resources::Headroom::from(&policy.headroom),
            memory: resources::Memory::from(&policy.memory),
            burst: resources::Burst::from(&policy.burst),
            max_sample_age_ns: policy.max_sample_age.0,
            keep_stale_plan_ns: policy.keep_stale_plan.0,
        }
    }
}

impl TryFrom<Policy> for inner::Policy {
    type Error = WireError;

    fn try_from(policy: Policy) -> Result<inner::Policy, WireError> {
        let Policy { share, reclaim, suppression, .. } = policy;
        if !share.usage_margin.is_finite() || !(1.0..=10.0).contains(&share.usage_margin) {
            return Err(bad("share.usage_margin", share.usage_margin));
        }
        let weight = CpuWeight::new(reclaim.weight);
        Ok(inner::Policy {
            mode: mode(&policy.mode)?,
            placement: policy.placement.try_into()?,
            share: inner::SharePolicy {
                usage_margin: share.usage_margin,
                shrink_after: Nanos(share.shrink_after_ns),
                max_shrink_per_tick: share.max_shrink_per_tick,
                default_target_p99: Micros(share.default_target_p99_us),
            },
            reclaim: inner::ReclaimPolicy {
                weight: weight.ok_or_else(|| bad("reclaim.weight", reclaim.weight))?,
                max_growth_per_tick: reclaim.max_growth_per_tick,
            },
            suppression: inner::SuppressionPolicy {
                enabled: suppression.enabled,
                hold: Nanos(suppression.hold_ns),
                floor: MilliCpu(suppression.floor_milli),
                max_doublings: doublings(suppression.max_doublings)?,
                use_cpu_idle: suppression.use_cpu_idle,
            },
            provision: policy.provision.try_into()?,
            headroom: policy.headroom.try_into()?,
            memory: policy.memory.try_into()?,
            burst: policy.burst.try_into()?,
            max_sample_age: Nanos(policy.max_sample_age_ns),
            keep_stale_plan: Nanos(policy.keep_stale_plan_ns),
        })
    }
}

impl From<&placement::PlacementPolicy> for Placement {
    fn from(policy: &placement::PlacementPolicy) -> Placement {
        Placement {
            reserve: match &policy.reserve {
                inner::Reserve::Count(n) => Reserve::Count(*n),
                inner::Reserve::Cpus(cpus) => Reserve::Cpus(cpus.to_string()),
            },
            kept: policy.kept.to_string(),
            forbidden: policy.forbidden.to_string(),
            reclaim_enabled: policy.reclaim_enabled,
            reclaim_reserve: match policy.reclaim_reserve {
                placement::ReclaimReserve::PerNode => ReclaimReserve::PerNode,
                placement::ReclaimReserve::Count(n) => ReclaimReserve::Count(n),
                placement::ReclaimReserve::Cpus(cpus) => ReclaimReserve::Cpus(cpus.to_string()),
            },
            overlap_shared_reclaim: policy.overlap_shared_reclaim,
            reclaim_numa_binding: policy.reclaim_numa_binding,
            numa_hint: policy.numa_hint.name().to_owned(),
            packing_keep_ratio: policy.packing_keep_ratio,
            topology: policy.topology.name().to_owned(),
            align_resources: policy.align_resources.clone(),
            ramp_up_ns: policy.ramp_up.0,
            pre_occupation_ns: policy.pre_occupation.0,
            check_memory: policy.check_memory,
        }
    }
}

impl TryFrom<Placement> for placement::PlacementPolicy {
    type Error = WireError;

    fn try_from(policy: Placement) -> Result<placement::PlacementPolicy, WireError> {
        let hint = NumaHintPolicy::ALL.into_iter().find(|one| one.name() == policy.numa_hint);
        let topology = TopologyPolicy::ALL.into_iter().find(|one| one.name() == policy.topology);
        if !(0.0..=1.0).contains(&policy.packing_keep_ratio) {
            return Err(bad("packing_keep_ratio", policy.packing_keep_ratio));
        }
        Ok(placement::PlacementPolicy {
            reserve: match policy.reserve {
                Reserve::Count(n) => inner::Reserve::Count(n),
                Reserve::Cpus(cpus) => inner::Reserve::Cpus(parsed("reserve.cpus", &cpus)?),
            },
            kept: parsed("kept", &policy.kept)?,
            forbidden: parsed("forbidden", &policy.forbidden)?,
            reclaim_enabled: policy.reclaim_enabled,
            reclaim_reserve: match policy.reclaim_reserve {
                ReclaimReserve::PerNode => placement::ReclaimReserve::PerNode,
                ReclaimReserve::Count(n) => placement::ReclaimReserve::Count(n),
                ReclaimReserve::Cpus(cpus) => {
                    placement::ReclaimReserve::Cpus(parsed("reclaim_reserve", &cpus)?)
                }
            },
            overlap_shared_reclaim: policy.overlap_shared_reclaim,
            reclaim_numa_binding: policy.reclaim_numa_binding,
            numa_hint: hint.ok_or_else(|| bad("numa_hint", policy.numa_hint))?,
            packing_keep_ratio: policy.packing_keep_ratio,
            topology: topology.ok_or_else(|| bad("topology", policy.topology))?,
            align_resources: policy.align_resources,
            ramp_up: Nanos(policy.ramp_up_ns),
            pre_occupation: Nanos(policy.pre_occupation_ns),
            check_memory: policy.check_memory,
            qos: QosRules::default(),
        })
    }
}

fn mode(text: &str) -> Result<inner::Mode, WireError> {
    match text {
        "observe" => Ok(inner::Mode::Observe),
        "enforce" => Ok(inner::Mode::Enforce),
        _ => Err(bad("mode", text)),
    }
}

/// A hold is shifted by it: 63 is the last shift that a number of 64 bits has.
fn doublings(n: u8) -> Result<u8, WireError> {
    if n < 64 { Ok(n) } else { Err(bad("suppression.max_doublings", n)) }
}
