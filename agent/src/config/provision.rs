//! `[provision]`: how measurements become sizes of pools or a quota, who lends, and when a noisy pod gets
//! a pool of its own.

use model::provision::{IsolationPolicy, ProvisionPolicy, SizeRule, Targets};
use model::{Micros, Nanos};
use toml::Spanned;

use super::check::Checker;
use super::{ConfigError, RawIsolation, RawProvision};

/// The default first.
const RULES: [SizeRule; 5] = [
    SizeRule::Runq,
    SizeRule::Pid,
    SizeRule::Canonical,
    SizeRule::DynamicQuota,
    SizeRule::Requests,
];

pub(super) fn policy(
    check: &Checker<'_>,
    raw: RawProvision,
    default: ProvisionPolicy,
) -> Result<ProvisionPolicy, ConfigError> {
    let mut policy = default;
    if let Some(name) = raw.rule {
        policy.rules = vec![rule(check, &name)?];
    }
    policy.share_targets =
        targets(check, (raw.usage_ratio, raw.runq_p99_us), policy.share_targets)?;
    let key = "provision.min_cpus";
    policy.ramp.min_cpus = check.int(key, raw.min_cpus, policy.ramp.min_cpus, 1..=1024)?;
    let key = "provision.quota_target_ratio";
    policy.quota_target_ratio =
        check.float(key, raw.quota_target_ratio, policy.quota_target_ratio, 0.1..=1.0)?;
    if let Some(wanted) = raw.lend_exclusive {
        policy.lend_exclusive = lending(check, &wanted, &policy.rules)?;
    }
    policy.isolation = isolation(check, raw.isolation, (&policy.rules, policy.isolation))?;
    Ok(policy)
}

fn rule(check: &Checker<'_>, name: &Spanned<String>) -> Result<SizeRule, ConfigError> {
    let found = RULES.into_iter().find(|rule| rule.name() == name.get_ref());
    let allowed = || RULES.map(SizeRule::name).join(", ");
    found.ok_or_else(|| check.refuse("provision.rule", name, &allowed()))
}

/// How much an owner needs is told by what it uses, which not every rule looks at.
fn lending(
    check: &Checker<'_>,
    wanted: &Spanned<bool>,
    rules: &[SizeRule],
) -> Result<bool, ConfigError> {
    let sized = [SizeRule::Pid, SizeRule::Canonical, SizeRule::DynamicQuota];
    let can = rules.first().is_some_and(|rule| sized.contains(rule));
    match *wanted.get_ref() {
        true if !can => {
            let allowed = "true with rule = \"pid\", \"canonical\" or \"dynamic_quota\" only";
            Err(check.refuse("provision.lend_exclusive", wanted, allowed))
        }
        lends => Ok(lends),
    }
}

fn targets(
    check: &Checker<'_>,
    (ratio, p99): (Option<Spanned<f64>>, Option<Spanned<i64>>),
    default: Targets,
) -> Result<Targets, ConfigError> {
    let mut targets = default;
    if ratio.is_some() {
        let ratio = check.float("provision.usage_ratio", ratio, 0.0, 0.1..=1.0)?;
        targets.usage_ratio = Some(ratio);
    }
    if p99.is_some() {
        let p99 = check.int("provision.runq_p99_us", p99, 0, 100..=10_000_000)?;
        targets.runq_p99 = Some(Micros(p99));
    }
    Ok(targets)
}

fn isolation(
    check: &Checker<'_>,
    raw: RawIsolation,
    (rules, default): (&[SizeRule], IsolationPolicy),
) -> Result<IsolationPolicy, ConfigError> {
    if let Some(wanted) = raw.enabled.as_ref().filter(|wanted| *wanted.get_ref())
        && rules.first() == Some(&SizeRule::Requests)
    {
        let allowed = "false with rule = \"requests\", which follows no measurement";
        return Err(check.refuse("provision.isolation.enabled", wanted, allowed));
    }
    let ratio = |name: &str, value, default| {
        check.float(&format!("provision.isolation.{name}"), value, default, 0.0..=1.0)
    };
    let quiet_ms = default.quiet.0 / 1_000_000;
    let key = "provision.isolation.quiet_ms";
    let quiet = Nanos::from_millis(check.int(key, raw.quiet_ms, quiet_ms, 0..=86_400_000)?);
    let key = "provision.isolation.rounds";
    Ok(IsolationPolicy {
        enabled: raw.enabled.map_or(default.enabled, Spanned::into_inner),
        rounds: check.int(key, raw.rounds, default.rounds, 1..=100)?,
        quiet,
        max_cpu_ratio: ratio("max_cpu_ratio", raw.max_cpu_ratio, default.max_cpu_ratio)?,
        max_pods_ratio: ratio("max_pods_ratio", raw.max_pods_ratio, default.max_pods_ratio)?,
        ..default
    })
}
