//! `policy.headroom`, `policy.memory` and `policy.burst`: every key of what follows from
//! measurements.

use model::burst::BurstRules;
use model::headroom::{
    Amount, CpuOversell, HeadroomPolicy, MAX_SAMPLES, MemoryEstimate, MemoryRule, ReportPolicy,
    Smooth, Unit,
};
use model::memory::MemoryPolicy;
use model::{Bytes, Nanos, quantity};

use super::field::Field;

/// What follows from measurements.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AdvicePolicy {
    pub(super) headroom: HeadroomPolicy,
    pub(super) memory: MemoryPolicy,
    pub(super) burst: BurstRules,
}

const HEADROOM: [&str; 12] = [
    "max_age_seconds",
    "cpu_oversell",
    "cpu_report",
    "memory_report",
    "memory_rule",
    "memory_reserve",
    "watermark_scale",
    "free_ratio",
    "cache_ratio",
    "buffer",
    "growth_ratio",
    "max_oversold",
];
const OVERSELL: [&str; 4] = ["target_util", "max_util", "max_oversold", "max_capacity"];
const REPORT: [&str; 9] = [
    "window_size",
    "sample_seconds",
    "sample_ttl_seconds",
    "smooth",
    "min_step",
    "max_step",
    "reserve",
    "floor",
    "ignore_below",
];
const MEMORY: [&str; 13] = [
    "guard",
    "guard_keep_free",
    "guard_high_percent",
    "binder",
    "binder_enter_percent",
    "binder_calm_percent",
    "binder_calm_seconds",
    "protection",
    "protection_min_percent",
    "protection_low_percent",
    "protection_keep",
    "oom_priority",
    "watermark_scale",
];
const BURST: [&str; 6] = [
    "static_percent",
    "max_percent",
    "step_percent",
    "throttled_over",
    "busy_over",
    "calm_seconds",
];

/// A day.
const MAX_SECONDS: f64 = 86_400.0;
/// Overselling a hundredfold is a typing error.
const MAX_RATIO: f64 = 100.0;
/// The whole, in ten-thousandths: the kernel allows less.
const MAX_SCALE: u64 = 10_000;

pub(super) fn read(policy: &Field<'_>) -> Result<AdvicePolicy, String> {
    let of = |key: &str| policy.get(key).map(|field| field.unwrap_or_else(|| Field::empty(key)));
    Ok(AdvicePolicy {
        headroom: headroom(&of("headroom")?)?,
        memory: memory(&of("memory")?)?,
        burst: burst(&of("burst")?)?,
    })
}

fn headroom(of: &Field<'_>) -> Result<HeadroomPolicy, String> {
    of.check_keys(&HEADROOM)?;
    let default = HeadroomPolicy::default();
    Ok(HeadroomPolicy {
        max_age: seconds(of, "max_age_seconds", default.max_age)?,
        cpu_oversell: of.get("cpu_oversell")?.map(|field| oversell(&field)).transpose()?,
        cpu_report: report(of, "cpu_report", Unit::MilliCpu, default.cpu_report)?,
        memory: MemoryEstimate {
            reserve: bytes(of, "memory_reserve", default.memory.reserve)?,
            rule: memory_rule(of)?,
            watermark_scale: int(of, "watermark_scale", default.memory.watermark_scale, MAX_SCALE)?,
        },
        memory_report: report(of, "memory_report", Unit::Bytes, default.memory_report)?,
    })
}

fn oversell(of: &Field<'_>) -> Result<CpuOversell, String> {
    of.check_keys(&OVERSELL)?;
    let default = CpuOversell::default();
    Ok(CpuOversell {
        target_util: ratio(of, "target_util", default.target_util, 1.0)?,
        max_util: of.get("max_util")?.map(|field| field.number(0.0..=1.0)).transpose()?,
        max_oversold: ratio(of, "max_oversold", default.max_oversold, MAX_RATIO)?,
        max_capacity: ratio(of, "max_capacity", default.max_capacity, MAX_RATIO)?,
    })
}

fn memory_rule(of: &Field<'_>) -> Result<MemoryRule, String> {
    let ratio = |key: &str, default: f64| ratio(of, key, default, MAX_RATIO);
    let Some(field) = of.get("memory_rule")? else { return Ok(MemoryRule::Canonical) };
    Ok(match field.text()?.as_str() {
        "canonical" => MemoryRule::Canonical,
        "util" => MemoryRule::Util {
            free_ratio: ratio("free_ratio", 0.6)?,
            cache_ratio: ratio("cache_ratio", 0.0)?,
            buffer: bytes(of, "buffer", Bytes(0))?,
        },
        "numa_aware" => MemoryRule::NumaAware {
            cache_ratio: ratio("cache_ratio", 0.0)?,
            growth_ratio: ratio("growth_ratio", 0.1)?,
            max_oversold: ratio("max_oversold", 1.0)?,
        },
        _ => return Err(field.refuse("canonical, util, numa_aware")),
    })
}

fn report(
    of: &Field<'_>,
    key: &str,
    unit: Unit,
    default: ReportPolicy,
) -> Result<ReportPolicy, String> {
    let Some(of) = of.get(key)? else { return Ok(default) };
    of.check_keys(&REPORT)?;
    let amount = |key: &str, default: Amount| match of.get(key)? {
        Some(field) => read_amount(&field, unit),
        None => Ok(default),
    };
    let mut window = default.window;
    if let Some(field) = of.get("window_size")? {
        let size = field.int(1..=MAX_SAMPLES as u64)?;
        window.size = usize::try_from(size).unwrap_or(MAX_SAMPLES);
    }
    window.every = seconds(&of, "sample_seconds", window.every)?;
    window.ttl = seconds(&of, "sample_ttl_seconds", window.ttl)?;
    window.min_step = amount("min_step", window.min_step)?;
    window.max_step = amount("max_step", window.max_step)?;
    if let Some(field) = of.get("smooth")? {
        window.smooth = smooth(&field)?;
    }
    Ok(ReportPolicy {
        window,
        reserve: amount("reserve", default.reserve)?,
        floor: amount("floor", default.floor)?,
        ignore_below: amount("ignore_below", default.ignore_below)?,
    })
}

fn read_amount(field: &Field<'_>, unit: Unit) -> Result<Amount, String> {
    let text = field.text()?;
    let read = match unit {
        Unit::MilliCpu => quantity::cpu(&text).map(|cpu| cpu.0),
        Unit::Bytes => quantity::memory(&text).map(|bytes| bytes.0),
    };
    read.map(Amount).map_err(|error| field.wrong(&error))
}

/// `average`, or a percentile as `p10`.
fn smooth(field: &Field<'_>) -> Result<Smooth, String> {
    let text = field.text()?;
    let percent = text.strip_prefix('p').and_then(|percent| percent.parse().ok());
    match (text.as_str(), percent) {
        ("average", _) => Ok(Smooth::Average),
        (_, Some(percent @ 0..=100)) => Ok(Smooth::Percentile(percent)),
        _ => Err(field.refuse("average, and percentiles from p0 to p100")),
    }
}

fn memory(of: &Field<'_>) -> Result<MemoryPolicy, String> {
    of.check_keys(&MEMORY)?;
    let mut policy = MemoryPolicy::default();
    let (guard, binder) = (&mut policy.guard, &mut policy.binder);
    guard.enabled = flag(of, "guard", guard.enabled)?;
    guard.keep_free = bytes(of, "guard_keep_free", guard.keep_free)?;
    guard.high_percent = percent(of, "guard_high_percent", guard.high_percent)?;
    binder.enabled = flag(of, "binder", binder.enabled)?;
    binder.enter_percent = int(of, "binder_enter_percent", binder.enter_percent, MAX_SCALE)?;
    binder.calm_percent = int(of, "binder_calm_percent", binder.calm_percent, MAX_SCALE)?;
    binder.calm_for = seconds(of, "binder_calm_seconds", binder.calm_for)?;
    let kept = &mut policy.protection;
    kept.enabled = flag(of, "protection", kept.enabled)?;
    kept.min_percent = percent(of, "protection_min_percent", kept.min_percent)?;
    kept.low_percent = percent(of, "protection_low_percent", kept.low_percent)?;
    kept.keep = bytes(of, "protection_keep", kept.keep)?;
    policy.oom_priority = flag(of, "oom_priority", policy.oom_priority)?;
    policy.watermark_scale = int(of, "watermark_scale", policy.watermark_scale, MAX_SCALE)?;
    Ok(policy)
}

fn burst(of: &Field<'_>) -> Result<BurstRules, String> {
    of.check_keys(&BURST)?;
    let default = BurstRules::default();
    Ok(BurstRules {
        static_percent: percent(of, "static_percent", default.static_percent)?,
        max_percent: percent(of, "max_percent", default.max_percent)?,
        step_percent: percent(of, "step_percent", default.step_percent)?,
        throttled_over: ratio(of, "throttled_over", default.throttled_over, 1.0)?,
        busy_over: ratio(of, "busy_over", default.busy_over, 1.0)?,
        calm_for: seconds(of, "calm_seconds", default.calm_for)?,
    })
}

fn flag(of: &Field<'_>, key: &str, default: bool) -> Result<bool, String> {
    of.get(key)?.map_or(Ok(default), |field| field.flag())
}

fn seconds(of: &Field<'_>, key: &str, default: Nanos) -> Result<Nanos, String> {
    let Some(field) = of.get(key)? else { return Ok(default) };
    Ok(Nanos((field.number(0.0..=MAX_SECONDS)? * 1e9).round() as u64))
}

fn bytes(of: &Field<'_>, key: &str, default: Bytes) -> Result<Bytes, String> {
    let Some(field) = of.get(key)? else { return Ok(default) };
    quantity::memory(&field.text()?).map_err(|error| field.wrong(&error))
}

fn ratio(of: &Field<'_>, key: &str, default: f64, most: f64) -> Result<f64, String> {
    of.get(key)?.map_or(Ok(default), |field| field.number(0.0..=most))
}

fn percent(of: &Field<'_>, key: &str, default: u8) -> Result<u8, String> {
    let read = of.get(key)?.map(|field| field.int(0..=100)).transpose()?;
    Ok(read.map_or(default, |percent| u8::try_from(percent).unwrap_or(100)))
}

fn int(of: &Field<'_>, key: &str, default: u32, most: u64) -> Result<u32, String> {
    let read = of.get(key)?.map(|field| field.int(0..=most)).transpose()?;
    Ok(read.map_or(default, |number| u32::try_from(number).unwrap_or(u32::MAX)))
}
