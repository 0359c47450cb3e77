//! `[headroom]`, `[memory]` and `[burst]`: what batch work is promised, and the files of memory and bursts. All that writes is off
//! until it is asked for.

use model::burst::BurstRules;
use model::headroom::{CpuOversell, HeadroomPolicy, MemoryEstimate};
use model::memory::{BinderPolicy, GuardPolicy, MemoryPolicy, ProtectionPolicy};
use model::quantity;
use model::{Bytes, Nanos};
use toml::Spanned;

use super::check::Checker;
use super::{ConfigError, RawBurst, RawHeadroom, RawMemory};

pub(super) fn headroom(
    check: &Checker<'_>,
    raw: RawHeadroom,
    default: HeadroomPolicy,
) -> Result<HeadroomPolicy, ConfigError> {
    let every_ms = default.cpu_report.window.every.0 / 1_000_000;
    let key = "headroom.sample_every_ms";
    let every =
        Nanos::from_millis(check.int(key, raw.sample_every_ms, every_ms, 1000..=600_000)?);
    let mut policy = HeadroomPolicy {
        cpu_oversell: match raw.cpu_oversell_target {
            None => None,
            target => {
                let target_util =
                    check.float("headroom.cpu_oversell_target", target, 0.0, 0.1..=1.0)?;
                Some(CpuOversell { target_util, ..CpuOversell::default() })
            }
        },
        memory: MemoryEstimate {
            reserve: bytes(
                check,
                "headroom.memory_reserve",
                raw.memory_reserve,
                default.memory.reserve,
            )?,
            ..default.memory
        },
        ..default
    };
    for report in [&mut policy.cpu_report, &mut policy.memory_report] {
        // A sample lives as long as a full window and one more need.
        let n_samples = report.window.size as u64 + 1;
        report.window.every = every;
        report.window.ttl = Nanos(every.0.saturating_mul(n_samples));
    }
    Ok(policy)
}

pub(super) fn memory(
    check: &Checker<'_>,
    raw: RawMemory,
    default: MemoryPolicy,
) -> Result<MemoryPolicy, ConfigError> {
    let percent = |key: &str, value, default: u8| check.int(key, value, default, 0..=100);
    let protection = &default.protection;
    Ok(MemoryPolicy {
        guard: GuardPolicy {
            enabled: raw.guard.unwrap_or(default.guard.enabled),
            keep_free: bytes(check, "memory.keep_free", raw.keep_free, default.guard.keep_free)?,
            ..default.guard
        },
        binder: BinderPolicy {
            enabled: raw.leave_pressured_nodes.unwrap_or(default.binder.enabled),
            ..default.binder
        },
        protection: ProtectionPolicy {
            enabled: raw.protection.unwrap_or(protection.enabled),
            min_percent: percent("memory.min_percent", raw.min_percent, protection.min_percent)?,
            low_percent: percent("memory.low_percent", raw.low_percent, protection.low_percent)?,
            ..default.protection
        },
        oom_priority: raw.oom_priority.unwrap_or(default.oom_priority),
        ..default
    })
}

pub(super) fn burst(
    check: &Checker<'_>,
    raw: RawBurst,
    default: BurstRules,
) -> Result<BurstRules, ConfigError> {
    let percent = |key: &str, value, default: u8| check.int(key, value, default, 0..=100);
    Ok(BurstRules {
        static_percent: percent(
            "burst.static_percent",
            raw.static_percent,
            default.static_percent,
        )?,
        max_percent: percent("burst.max_percent", raw.max_percent, default.max_percent)?,
        ..default
    })
}

/// A quantity of memory, or the default where the key is absent.
pub(super) fn bytes(
    check: &Checker<'_>,
    key: &str,
    raw: Option<Spanned<String>>,
    default: Bytes,
) -> Result<Bytes, ConfigError> {
    let Some(text) = raw else { return Ok(default) };
    let read = quantity::memory(text.get_ref());
    read.map_err(|error| check.refuse(key, &text, &format!("a quantity such as \"2Gi\" ({error})")))
}
