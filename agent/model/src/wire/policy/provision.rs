//! Wire form of the policy of provision. A record from before had none of its rules: sizes followed
//! waiting.

use serde::{Deserialize, Serialize};

use super::super::{WireError, bad};
use crate::provision::{self as inner, SizeRule};
use crate::units::{Micros, MilliCpu, Nanos};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Provision {
    rules: Vec<String>,
    usage_factor: f64,
    unknown_pod_milli: u64,
    share_targets: Targets,
    dedicated_targets: Targets,
    pid_down_milli: u64,
    pid_up_milli: u64,
    ramp: Ramp,
    isolation: Isolation,
    quota_target_ratio: f64,
    lend_exclusive: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Targets {
    runq_p99_us: Option<u64>,
    usage_ratio: Option<f64>,
    cpi: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ramp {
    max_up: u16,
    max_down: u16,
    down_every_ns: u64,
    whole_cores: bool,
    extra_milli: u64,
    min_cpus: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Isolation {
    enabled: bool,
    factor: f64,
    over_milli: u64,
    rounds: u8,
    quiet_ns: u64,
    max_cpu_ratio: f64,
    max_pods_ratio: f64,
}

impl Default for Provision {
    fn default() -> Provision {
        Provision::from(&crate::policy::Policy::default().provision)
    }
}

impl From<&inner::ProvisionPolicy> for Provision {
    fn from(policy: &inner::ProvisionPolicy) -> Provision {
        let inner::ProvisionPolicy { ramp, isolation, .. } = policy;
        Provision {
            rules: policy.rules.iter().map(|rule| rule.name().to_owned()).collect(),
            usage_factor: policy.usage_factor,
            unknown_pod_milli: policy.unknown_pod.0,
            share_targets: policy.share_targets.into(),
            dedicated_targets: policy.dedicated_targets.into(),
            pid_down_milli: policy.pid_down.0,
            pid_up_milli: policy.pid_up.0,
            ramp: Ramp {
                max_up: ramp.max_up,
                max_down: ramp.max_down,
                down_every_ns: ramp.down_every.0,
                whole_cores: ramp.whole_cores,
                extra_milli: ramp.extra.0,
                min_cpus: ramp.min_cpus,
            },
            isolation: Isolation {
                enabled: isolation.enabled,
                factor: isolation.factor,
                over_milli: isolation.over.0,
                rounds: isolation.rounds,
                quiet_ns: isolation.quiet.0,
                max_cpu_ratio: isolation.max_cpu_ratio,
                max_pods_ratio: isolation.max_pods_ratio,
            },
            quota_target_ratio: policy.quota_target_ratio,
            lend_exclusive: policy.lend_exclusive,
        }
    }
}

impl TryFrom<Provision> for inner::ProvisionPolicy {
    type Error = WireError;

    fn try_from(policy: Provision) -> Result<inner::ProvisionPolicy, WireError> {
        let Provision { ramp, isolation, .. } = policy;
        let rule = |name: &String| {
            let found = SizeRule::ALL.into_iter().find(|rule| rule.name() == name);
            found.ok_or_else(|| bad("provision.rule", name))
        };
        Ok(inner::ProvisionPolicy {
            rules: policy.rules.iter().map(rule).collect::<Result<_, _>>()?,
            usage_factor: policy.usage_factor,
            unknown_pod: MilliCpu(policy.unknown_pod_milli),
            share_targets: policy.share_targets.into(),
            dedicated_targets: policy.dedicated_targets.into(),
            pid_down: MilliCpu(policy.pid_down_milli),
            pid_up: MilliCpu(policy.pid_up_milli),
            ramp: inner::RampPolicy {
                max_up: ramp.max_up,
                max_down: ramp.max_down,
                down_every: Nanos(ramp.down_every_ns),
                whole_cores: ramp.whole_cores,
                extra: MilliCpu(ramp.extra_milli),
                min_cpus: ramp.min_cpus,
            },
            isolation: inner::IsolationPolicy {
                enabled: isolation.enabled,
                factor: isolation.factor,
                over: MilliCpu(isolation.over_milli),
                rounds: isolation.rounds,
                quiet: Nanos(isolation.quiet_ns),
                max_cpu_ratio: isolation.max_cpu_ratio,
                max_pods_ratio: isolation.max_pods_ratio,
            },
            quota_target_ratio: policy.quota_target_ratio,
            lend_exclusive: policy.lend_exclusive,
        })
    }
}

impl From<inner::Targets> for Targets {
    fn from(targets: inner::Targets) -> Targets {
        Targets {
            runq_p99_us: targets.runq_p99.map(|us| us.0),
            usage_ratio: targets.usage_ratio,
            cpi: targets.cpi,
        }
    }
}

impl From<Targets> for inner::Targets {
    fn from(targets: Targets) -> inner::Targets {
        inner::Targets {
            runq_p99: targets.runq_p99_us.map(Micros),
            usage_ratio: targets.usage_ratio,
            cpi: targets.cpi,
        }
    }
}
