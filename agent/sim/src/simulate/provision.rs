//! `policy:`: the keys of `ProvisionPolicy`.

use model::provision::{IsolationPolicy, ProvisionPolicy, RampPolicy, SizeRule, Targets};
use model::{Micros, MilliCpu, Nanos};

use super::field::Field;
use super::value::Value;

pub(super) const KEYS: [&str; 21] = [
    "provision_policy",
    "usage_factor",
    "unknown_pod_cpus",
    "share_runq_p99_target_us",
    "share_usage_ratio_target",
    "share_cpi_target",
    "dedicated_usage_ratio_target",
    "dedicated_cpi_target",
    "quota_target_ratio",
    "lend_exclusive",
    "ramp_max_up_cpus",
    "ramp_max_down_cpus",
    "ramp_down_every_seconds",
    "whole_cores",
    "min_pool_cpus",
    "isolation",
    "isolation_rounds",
    "isolation_quiet_seconds",
    "isolation_max_cpu_ratio",
    "isolation_max_pods_ratio",
    "extra_cpus",
];

/// A minute, as for samples.
const MAX_TARGET_US: u64 = 60_000_000;
/// An hour: what moves slower stands.
const MAX_SECONDS: f64 = 3600.0;
const MAX_CPUS: u64 = model::cpuset::MAX_CPUS as u64;

/// One key with a default.
struct Keys<'a, 'b>(&'b Field<'a>);

impl Keys<'_, '_> {
    fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        self.0.get(key)?.map_or(Ok(default), |field| field.flag())
    }

    fn number(&self, key: &str, (least, most): (f64, f64), default: f64) -> Result<f64, String> {
        self.0.get(key)?.map_or(Ok(default), |field| field.number(least..=most))
    }

    fn target(&self, key: &str, most: f64, default: Option<f64>) -> Result<Option<f64>, String> {
        // A thousandth: nothing is held at zero.
        let given = self.0.get(key)?.map(|field| field.number(0.001..=most)).transpose()?;
        Ok(given.or(default))
    }

    fn count(&self, key: &str, least: u64, default: u16) -> Result<u16, String> {
        let given = self.0.get(key)?.map(|field| field.int(least..=MAX_CPUS)).transpose()?;
        Ok(given.and_then(|n| u16::try_from(n).ok()).unwrap_or(default))
    }

    fn milli(&self, key: &str, default: MilliCpu) -> Result<MilliCpu, String> {
        let cpus = self.number(key, (0.0, MAX_CPUS as f64), default.0 as f64 / 1000.0)?;
        Ok(MilliCpu((cpus * 1000.0).round() as u64))
    }

    fn seconds(&self, key: &str, default: Nanos) -> Result<Nanos, String> {
        let seconds = self.number(key, (0.0, MAX_SECONDS), default.0 as f64 / 1e9)?;
        Ok(Nanos((seconds * 1e9).round() as u64))
    }
}

pub(super) fn read(policy: &Field<'_>) -> Result<ProvisionPolicy, String> {
    let (keys, default) = (Keys(policy), ProvisionPolicy::default());
    Ok(ProvisionPolicy {
        rules: rules(policy)?.unwrap_or(default.rules),
        // Less than what is used is no need, ten times as much no measurement.
        usage_factor: keys.number("usage_factor", (1.0, 10.0), default.usage_factor)?,
        unknown_pod: keys.milli("unknown_pod_cpus", default.unknown_pod)?,
        share_targets: targets(&keys, "share", default.share_targets)?,
        dedicated_targets: targets(&keys, "dedicated", default.dedicated_targets)?,
        ramp: ramp(&keys, default.ramp)?,
        isolation: isolation(&keys, default.isolation)?,
        quota_target_ratio: keys.number(
            "quota_target_ratio",
            (0.0, 1.0),
            default.quota_target_ratio,
        )?,
        lend_exclusive: keys.flag("lend_exclusive", default.lend_exclusive)?,
        ..ProvisionPolicy::default()
    })
}

/// One name, or a list of which the first that can run decides.
fn rules(policy: &Field<'_>) -> Result<Option<Vec<SizeRule>>, String> {
    let Some(field) = policy.get("provision_policy")? else { return Ok(None) };
    let rule = |field: &Field<'_>| {
        let name = field.text()?;
        // The rule that is not written yet cannot be chosen.
        let known = SizeRule::ALL.into_iter().filter(|rule| *rule != SizeRule::Runq);
        let names: Vec<&str> = known.clone().map(SizeRule::name).collect();
        let found = known.into_iter().find(|rule| rule.name() == name);
        found.ok_or_else(|| field.refuse(&names.join(", ")))
    };
    match field.value() {
        Value::List(_) => field.items()?.iter().map(rule).collect::<Result<_, _>>().map(Some),
        _ => Ok(Some(vec![rule(&field)?])),
    }
}

fn targets(keys: &Keys<'_, '_>, of: &str, default: Targets) -> Result<Targets, String> {
    let key = |name: &str| format!("{of}_{name}");
    let p99 = keys.0.get(&key("runq_p99_target_us"))?;
    let p99 = p99.map(|field| field.int(1..=MAX_TARGET_US)).transpose()?;
    Ok(Targets {
        runq_p99: p99.map(Micros).or(default.runq_p99),
        usage_ratio: keys.target(&key("usage_ratio_target"), 1.0, default.usage_ratio)?,
        cpi: keys.target(&key("cpi_target"), 1000.0, default.cpi)?,
    })
}

fn ramp(keys: &Keys<'_, '_>, default: RampPolicy) -> Result<RampPolicy, String> {
    Ok(RampPolicy {
        max_up: keys.count("ramp_max_up_cpus", 1, default.max_up)?,
        max_down: keys.count("ramp_max_down_cpus", 0, default.max_down)?,
        down_every: keys.seconds("ramp_down_every_seconds", default.down_every)?,
        whole_cores: keys.flag("whole_cores", default.whole_cores)?,
        extra: keys.milli("extra_cpus", default.extra)?,
        min_cpus: keys.count("min_pool_cpus", 1, default.min_cpus)?,
    })
}

fn isolation(keys: &Keys<'_, '_>, default: IsolationPolicy) -> Result<IsolationPolicy, String> {
    let rounds = keys.0.get("isolation_rounds")?.map(|field| field.int(1..=100)).transpose()?;
    let ratio = |key, default| keys.number(key, (0.0, 1.0), default);
    Ok(IsolationPolicy {
        enabled: keys.flag("isolation", default.enabled)?,
        rounds: rounds.and_then(|n| u8::try_from(n).ok()).unwrap_or(default.rounds),
        quiet: keys.seconds("isolation_quiet_seconds", default.quiet)?,
        max_cpu_ratio: ratio("isolation_max_cpu_ratio", default.max_cpu_ratio)?,
        max_pods_ratio: ratio("isolation_max_pods_ratio", default.max_pods_ratio)?,
        ..default
    })
}
