//! Wire form of the policies of headroom, memory and bursts. A record from before has none of them:
//! what was planned then did not follow them, and the defaults write nothing.

use serde::{Deserialize, Serialize};

use super::super::{WireError, bad};
use crate::burst::BurstRules;
use crate::headroom::{
    self as inner, Amount, CpuOversell, MAX_SAMPLES, MemoryEstimate, MemoryRule, Smooth,
};
use crate::memory::{BinderPolicy, GuardPolicy, MemoryPolicy, ProtectionPolicy};
use crate::units::{Bytes, Nanos};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Headroom {
    max_age_ns: u64,
    cpu_oversell: Option<Oversell>,
    cpu_report: Report,
    memory_reserve_bytes: u64,
    memory_rule: Rule,
    watermark_scale: u32,
    memory_report: Report,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Oversell {
    target_util: f64,
    max_util: Option<f64>,
    max_oversold: f64,
    max_capacity: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
enum Rule {
    Canonical,
    Util { free_ratio: f64, cache_ratio: f64, buffer_bytes: u64 },
    NumaAware { cache_ratio: f64, growth_ratio: f64, max_oversold: f64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    size: usize,
    ttl_ns: u64,
    every_ns: u64,
    /// `None` is the average.
    percentile: Option<u8>,
    min_step: u64,
    max_step: u64,
    reserve: u64,
    floor: u64,
    ignore_below: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    guard: bool,
    keep_free_bytes: u64,
    high_percent: u8,
    binder: bool,
    enter_percent: u32,
    calm_percent: u32,
    calm_for_ns: u64,
    protection: bool,
    min_percent: u8,
    low_percent: u8,
    keep_bytes: u64,
    oom_priority: bool,
    watermark_scale: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Burst {
    static_percent: u8,
    max_percent: u8,
    step_percent: u8,
    throttled_over: f64,
    busy_over: f64,
    calm_for_ns: u64,
}

impl Default for Headroom {
    fn default() -> Headroom {
        Headroom::from(&inner::HeadroomPolicy::default())
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::from(&MemoryPolicy::default())
    }
}

impl Default for Burst {
    fn default() -> Burst {
        Burst::from(&BurstRules::default())
    }
}

impl From<&inner::HeadroomPolicy> for Headroom {
    fn from(policy: &inner::HeadroomPolicy) -> Headroom {
        Headroom {
            max_age_ns: policy.max_age.0,
            cpu_oversell: policy.cpu_oversell.as_ref().map(|it| Oversell {
                target_util: it.target_util,
                max_util: it.max_util,
                max_oversold: it.max_oversold,
                max_capacity: it.max_capacity,
            }),
            cpu_report: Report::from(&policy.cpu_report),
            memory_reserve_bytes: policy.memory.reserve.0,
            memory_rule: Rule::from(policy.memory.rule),
            watermark_scale: policy.memory.watermark_scale,
            memory_report: Report::from(&policy.memory_report),
        }
    }
}

impl TryFrom<Headroom> for inner::HeadroomPolicy {
    type Error = WireError;

    fn try_from(policy: Headroom) -> Result<inner::HeadroomPolicy, WireError> {
        Ok(inner::HeadroomPolicy {
            max_age: Nanos(policy.max_age_ns),
            cpu_oversell: policy.cpu_oversell.map(|it| CpuOversell {
                target_util: it.target_util,
                max_util: it.max_util,
                max_oversold: it.max_oversold,
                max_capacity: it.max_capacity,
            }),
            cpu_report: policy.cpu_report.try_into()?,
            memory: MemoryEstimate {
                reserve: Bytes(policy.memory_reserve_bytes),
                rule: policy.memory_rule.into(),
                watermark_scale: policy.watermark_scale,
            },
            memory_report: policy.memory_report.try_into()?,
        })
    }
}

impl From<MemoryRule> for Rule {
    fn from(rule: MemoryRule) -> Rule {
        match rule {
            MemoryRule::Canonical => Rule::Canonical,
            MemoryRule::Util { free_ratio, cache_ratio, buffer } => {
                Rule::Util { free_ratio, cache_ratio, buffer_bytes: buffer.0 }
            }
            MemoryRule::NumaAware { cache_ratio, growth_ratio, max_oversold } => {
                Rule::NumaAware { cache_ratio, growth_ratio, max_oversold }
            }
        }
    }
}

impl From<Rule> for MemoryRule {
    fn from(rule: Rule) -> MemoryRule {
        match rule {
            Rule::Canonical => MemoryRule::Canonical,
            Rule::Util { free_ratio, cache_ratio, buffer_bytes } => {
                MemoryRule::Util { free_ratio, cache_ratio, buffer: Bytes(buffer_bytes) }
            }
            Rule::NumaAware { cache_ratio, growth_ratio, max_oversold } => {
                MemoryRule::NumaAware { cache_ratio, growth_ratio, max_oversold }
            }
        }
    }
}

impl From<&inner::ReportPolicy> for Report {
    fn from(policy: &inner::ReportPolicy) -> Report {
        let window = &policy.window;
        Report {
            size: window.size,
            ttl_ns: window.ttl.0,
            every_ns: window.every.0,
            percentile: match window.smooth {
                Smooth::Average => None,
                Smooth::Percentile(percent) => Some(percent),
            },
            min_step: window.min_step.0,
            max_step: window.max_step.0,
            reserve: policy.reserve.0,
            floor: policy.floor.0,
            ignore_below: policy.ignore_below.0,
        }
    }
}

impl TryFrom<Report> for inner::ReportPolicy {
    type Error = WireError;

    fn try_from(report: Report) -> Result<inner::ReportPolicy, WireError> {
        if !(1..=MAX_SAMPLES).contains(&report.size) {
            return Err(bad("headroom.size", report.size));
        }
        if report.percentile.is_some_and(|percent| percent > 100) {
            return Err(bad("headroom.percentile", report.percentile.unwrap_or_default()));
        }
        Ok(inner::ReportPolicy {
            window: inner::WindowPolicy {
                size: report.size,
                ttl: Nanos(report.ttl_ns),
                every: Nanos(report.every_ns),
                smooth: report.percentile.map_or(Smooth::Average, Smooth::Percentile),
                min_step: Amount(report.min_step),
                max_step: Amount(report.max_step),
            },
            reserve: Amount(report.reserve),
            floor: Amount(report.floor),
            ignore_below: Amount(report.ignore_below),
        })
    }
}

impl From<&MemoryPolicy> for Memory {
    fn from(policy: &MemoryPolicy) -> Memory {
        let MemoryPolicy { guard, binder, protection, oom_priority, watermark_scale } = policy;
        Memory {
            guard: guard.enabled,
            keep_free_bytes: guard.keep_free.0,
            high_percent: guard.high_percent,
            binder: binder.enabled,
            enter_percent: binder.enter_percent,
            calm_percent: binder.calm_percent,
            calm_for_ns: binder.calm_for.0,
            protection: protection.enabled,
            min_percent: protection.min_percent,
            low_percent: protection.low_percent,
            keep_bytes: protection.keep.0,
            oom_priority: *oom_priority,
            watermark_scale: *watermark_scale,
        }
    }
}

impl TryFrom<Memory> for MemoryPolicy {
    type Error = WireError;

    fn try_from(policy: Memory) -> Result<MemoryPolicy, WireError> {
        for percent in [policy.high_percent, policy.min_percent, policy.low_percent] {
            if percent > 100 {
                return Err(bad("memory percent", percent));
            }
        }
        Ok(MemoryPolicy {
            guard: GuardPolicy {
                enabled: policy.guard,
                keep_free: Bytes(policy.keep_free_bytes),
                high_percent: policy.high_percent,
            },
            binder: BinderPolicy {
                enabled: policy.binder,
                enter_percent: policy.enter_percent,
                calm_percent: policy.calm_percent,
                calm_for: Nanos(policy.calm_for_ns),
            },
            protection: ProtectionPolicy {
                enabled: policy.protection,
                min_percent: policy.min_percent,
                low_percent: policy.low_percent,
                keep: Bytes(policy.keep_bytes),
            },
            oom_priority: policy.oom_priority,
            watermark_scale: policy.watermark_scale,
        })
    }
}

impl From<&BurstRules> for Burst {
    fn from(rules: &BurstRules) -> Burst {
        Burst {
            static_percent: rules.static_percent,
            max_percent: rules.max_percent,
            step_percent: rules.step_percent,
            throttled_over: rules.throttled_over,
            busy_over: rules.busy_over,
            calm_for_ns: rules.calm_for.0,
        }
    }
}

impl TryFrom<Burst> for BurstRules {
    type Error = WireError;

    fn try_from(rules: Burst) -> Result<BurstRules, WireError> {
        for percent in [rules.static_percent, rules.max_percent, rules.step_percent] {
            if percent > 100 {
                return Err(bad("burst percent", percent));
            }
        }
        Ok(BurstRules {
            static_percent: rules.static_percent,
            max_percent: rules.max_percent,
            step_percent: rules.step_percent,
            throttled_over: rules.throttled_over,
            busy_over: rules.busy_over,
            calm_for: Nanos(rules.calm_for_ns),
        })
    }
}
