//! The policy as a table for people: each key of the configuration file with its value, where the
//! value comes from, and what it would be without the file. Decides nothing.

use std::collections::BTreeMap;
use std::path::Path;

use model::placement::ReclaimReserve;
use model::policy::{Mode, Policy, Reserve};

use crate::config::Config;

/// What the agent was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyTable {
    /// Empty when the agent runs without a file.
    pub file: String,
    pub rows: Vec<Row>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: &'static str,
    pub value: String,
    /// Line of the file that says so; `None` is built in.
    pub line: Option<u32>,
    pub built_in: String,
}

/// The key whose value a person can change while the agent runs.
pub const MODE: &str = "mode";

impl PolicyTable {
    pub fn new(config: &Config, path: &Path) -> PolicyTable {
        let file = match path == Path::new("/dev/null") {
            true => String::new(),
            false => path.display().to_string(),
        };
        let built_in = values(&Policy::default(), "/");
        let rows = values(&config.policy, &config.host.managed_cgroup);
        let built_in = |key| built_in.get(key).cloned().unwrap_or_default();
        let row = |(key, value)| Row {
            key,
            value,
            line: config.lines.get(key).copied(),
            built_in: built_in(key),
        };
        PolicyTable { file, rows: rows.into_iter().map(row).collect() }
    }
}

pub fn mode_text(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

fn values(policy: &Policy, managed_cgroup: &str) -> BTreeMap<&'static str, String> {
    let Policy { mode, placement, share, reclaim, suppression, .. } = policy;
    let ms = |nanos: &model::Nanos| (nanos.0 / 1_000_000).to_string();
    let (reserve_cpus, reserve_cpuset) = match &placement.reserve {
        Reserve::Count(n) => (n.to_string(), String::new()),
        Reserve::Cpus(cpus) => (cpus.len().to_string(), cpus.to_string()),
    };
    let mut values = BTreeMap::from([
        (MODE, mode_text(*mode).to_owned()),
        ("host.managed_cgroup", managed_cgroup.to_owned()),
        ("reserve.cpus", reserve_cpus),
        ("reserve.cpuset", reserve_cpuset),
        ("share.usage_margin", share.usage_margin.to_string()),
        ("share.shrink_after_ms", ms(&share.shrink_after)),
        ("share.max_shrink_per_tick", share.max_shrink_per_tick.to_string()),
        ("share.default_target_p99_us", share.default_target_p99.0.to_string()),
        ("reclaim.floor_cpus", floor(placement.reclaim_reserve)),
        ("reclaim.overlap_share", placement.overlap_shared_reclaim.to_string()),
        ("placement.interrupt_cpus", placement.forbidden.to_string()),
        ("placement.numa_hint_policy", placement.numa_hint.name().to_owned()),
        ("placement.packing_keep_ratio", placement.packing_keep_ratio.to_string()),
        ("placement.pre_occupation_ms", ms(&placement.pre_occupation)),
        ("reclaim.weight", reclaim.weight.get().to_string()),
        ("reclaim.max_growth_per_tick", reclaim.max_growth_per_tick.to_string()),
        ("suppression.enabled", suppression.enabled.to_string()),
        ("suppression.hold_ms", ms(&suppression.hold)),
        ("suppression.floor_milli_cpu", suppression.floor.0.to_string()),
        ("suppression.max_doublings", suppression.max_doublings.to_string()),
        ("suppression.use_cpu_idle", suppression.use_cpu_idle.to_string()),
        // No keys of the file: an operator cannot allow older readings.
        ("max_sample_age_ms", ms(&policy.max_sample_age)),
        ("keep_stale_plan_ms", ms(&policy.keep_stale_plan)),
    ]);
    values.extend(isolation(policy));
    values.extend(resources(policy));
    values
}

/// What holds reclaimed work, who lends, and pods with a pool of their own.
fn isolation(policy: &Policy) -> [(&'static str, String); 7] {
    let isolation = &policy.provision.isolation;
    [
        ("provision.quota_target_ratio", policy.provision.quota_target_ratio.to_string()),
        ("provision.lend_exclusive", policy.provision.lend_exclusive.to_string()),
        ("provision.isolation.enabled", isolation.enabled.to_string()),
        ("provision.isolation.rounds", isolation.rounds.to_string()),
        ("provision.isolation.quiet_ms", (isolation.quiet.0 / 1_000_000).to_string()),
        ("provision.isolation.max_cpu_ratio", isolation.max_cpu_ratio.to_string()),
        ("provision.isolation.max_pods_ratio", isolation.max_pods_ratio.to_string()),
    ]
}

/// Headroom, memory and bursts.
fn resources(policy: &Policy) -> [(&'static str, String); 16] {
    let Policy { provision, headroom, memory, burst, .. } = policy;
    let maybe = |value: Option<String>| value.unwrap_or_else(|| "off".to_owned());
    let targets = &provision.share_targets;
    let oversell = headroom.cpu_oversell.as_ref();
    [
        ("provision.rule", maybe(provision.rules.first().map(|rule| rule.name().to_owned()))),
        ("provision.usage_ratio", maybe(targets.usage_ratio.map(|it| it.to_string()))),
        ("provision.runq_p99_us", maybe(targets.runq_p99.map(|it| it.to_string()))),
        ("provision.min_cpus", provision.ramp.min_cpus.to_string()),
        ("headroom.sample_every_ms", (headroom.cpu_report.window.every.0 / 1_000_000).to_string()),
        (
            "headroom.cpu_oversell_target",
            oversell.map_or_else(|| "off".to_owned(), |it| it.target_util.to_string()),
        ),
        ("headroom.memory_reserve", headroom.memory.reserve.to_string()),
        ("memory.guard", memory.guard.enabled.to_string()),
        ("memory.keep_free", memory.guard.keep_free.to_string()),
        ("memory.leave_pressured_nodes", memory.binder.enabled.to_string()),
        ("memory.protection", memory.protection.enabled.to_string()),
        ("memory.min_percent", memory.protection.min_percent.to_string()),
        ("memory.low_percent", memory.protection.low_percent.to_string()),
        ("memory.oom_priority", memory.oom_priority.to_string()),
        ("burst.static_percent", burst.static_percent.to_string()),
        ("burst.max_percent", burst.max_percent.to_string()),
    ]
}

fn floor(reserve: ReclaimReserve) -> String {
    match reserve {
        ReclaimReserve::PerNode => "per NUMA node".to_owned(),
        ReclaimReserve::Count(n) => n.to_string(),
        ReclaimReserve::Cpus(cpus) => cpus.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[track_caller]
    fn check(text: &str, key: &str, value: &str, line: Option<u32>, built_in: &str) {
        let path = Path::new("/etc/berth/agent.toml");
        let config = config::parse(path, text).expect("a good file");
        let table = PolicyTable::new(&config, path);
        let row = table.rows.iter().find(|row| row.key == key).expect("a row");
        assert_eq!(
            (row.value.as_str(), row.line, row.built_in.as_str()),
            (value, line, built_in),
            "{text:?}"
        );
    }

    #[test]
    fn each_value_says_where_it_is_from() {
        check("", "mode", "observe", None, "observe");
        check("mode = \"enforce\"", "mode", "enforce", Some(1), "observe");
        check("# why\n[share]\nusage_margin = 1.5", "share.usage_margin", "1.5", Some(3), "1.25");
        check("share.usage_margin = 2.0", "share.usage_margin", "2", Some(1), "1.25");
        check("\n\nreclaim = { weight = 7 }", "reclaim.weight", "7", Some(3), "1");
        // Written in the file although it is the default: the file is the source.
        check("[suppression]\nhold_ms = 2000", "suppression.hold_ms", "2000", Some(2), "2000");
        check("[reserve]\ncpuset = \"0,8\"", "reserve.cpuset", "0,8", Some(2), "");
        check("[reserve]\ncpuset = \"0,8\"", "reserve.cpus", "2", None, "0");
        check("[host]\nmanaged_cgroup = \"/w\"", "host.managed_cgroup", "/w", Some(2), "/");
    }

    #[test]
    fn every_key_of_the_policy_is_there_once() {
        let config = config::parse(Path::new("/dev/null"), "").expect("empty is good");
        let table = PolicyTable::new(&config, Path::new("/dev/null"));
        assert_eq!((table.file.as_str(), table.rows.len()), ("", 46));
        assert!(table.rows.iter().all(|row| row.value == row.built_in && row.line.is_none()));
    }
}
