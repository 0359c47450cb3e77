//! Wire form of what a workload wishes beyond its level.

use serde::{Deserialize, Serialize};

use super::{WireError, bad};
use crate::enhancement::{self as inner, BurstPolicy, NetNamespace};
use crate::numa::NumaSet;
use crate::qos::PoolName;

/// Absent is what a workload without wishes has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    cpuset_pool: Option<String>,
    numa_share: bool,
    suppression_tolerance_rate: Option<f64>,
    burst_policy: String,
    burst_percent: Option<f64>,
    burst_threshold: Option<f64>,
    align_by_socket: bool,
    distribute_evenly: bool,
    full_pcpus_pairing: bool,
    numa_number: Option<u16>,
    numa_ids: Option<String>,
    numa_binding: bool,
    numa_exclusive: bool,
    rss_overuse_threshold: Option<f64>,
    oom_priority: i32,
    net_namespace: Option<String>,
    net_affinity_restricted: bool,
}

const BURSTS: [(BurstPolicy, &str); 4] = [
    (BurstPolicy::Default, "default"),
    (BurstPolicy::Closed, "closed"),
    (BurstPolicy::Static, "static"),
    (BurstPolicy::Dynamic, "dynamic"),
];

const NAMESPACES: [(NetNamespace, &str); 4] = [
    (NetNamespace::Host, "host_ns"),
    (NetNamespace::HostPreferred, "host_ns_preferred"),
    (NetNamespace::AntiHost, "anti_host_ns"),
    (NetNamespace::AntiHostPreferred, "anti_host_ns_preferred"),
];

fn name_of<T: PartialEq>(names: &[(T, &str)], value: &T) -> String {
    let found = names.iter().find(|(one, _)| one == value);
    found.map(|(_, name)| (*name).to_owned()).unwrap_or_default()
}

fn value_of<T: Copy>(names: &[(T, &str)], field: &'static str, name: &str) -> Result<T, WireError> {
    let found = names.iter().find(|(_, one)| *one == name);
    found.map(|(value, _)| *value).ok_or_else(|| bad(field, name))
}

/// The empty set is the empty text.
pub(super) fn nodes(field: &'static str, text: &str) -> Result<NumaSet, WireError> {
    match text.is_empty() {
        true => Ok(NumaSet::EMPTY),
        false => NumaSet::parse(text).ok_or_else(|| bad(field, text)),
    }
}

impl From<&inner::Enhancements> for Wish {
    fn from(wish: &inner::Enhancements) -> Wish {
        Wish {
            cpuset_pool: wish.cpuset_pool.as_ref().map(PoolName::to_string),
            numa_share: wish.numa_share,
            suppression_tolerance_rate: wish.suppression_tolerance_rate,
            burst_policy: name_of(&BURSTS, &wish.burst.policy),
            burst_percent: wish.burst.percent,
            burst_threshold: wish.burst.threshold,
            align_by_socket: wish.align_by_socket,
            distribute_evenly: wish.distribute_evenly,
            full_pcpus_pairing: wish.full_pcpus_pairing,
            numa_number: wish.numa_number,
            numa_ids: wish.numa_ids.map(|ids| ids.to_string()),
            numa_binding: wish.numa_binding,
            numa_exclusive: wish.numa_exclusive,
            rss_overuse_threshold: wish.rss_overuse_threshold,
            oom_priority: wish.oom_priority,
            net_namespace: wish.network.namespace.map(|one| name_of(&NAMESPACES, &one)),
            net_affinity_restricted: wish.network.affinity_restricted,
        }
    }
}

impl TryFrom<Wish> for inner::Enhancements {
    type Error = WireError;

    fn try_from(wish: Wish) -> Result<inner::Enhancements, WireError> {
        let namespace = |name: String| value_of(&NAMESPACES, "net_namespace", &name);
        Ok(inner::Enhancements {
            cpuset_pool: wish.cpuset_pool.map(PoolName::new),
            numa_share: wish.numa_share,
            suppression_tolerance_rate: wish.suppression_tolerance_rate,
            burst: inner::BurstWish {
                policy: value_of(&BURSTS, "burst_policy", &wish.burst_policy)?,
                percent: wish.burst_percent,
                threshold: wish.burst_threshold,
            },
            align_by_socket: wish.align_by_socket,
            distribute_evenly: wish.distribute_evenly,
            full_pcpus_pairing: wish.full_pcpus_pairing,
            numa_number: wish.numa_number,
            numa_ids: wish.numa_ids.map(|ids| nodes("numa_ids", &ids)).transpose()?,
            numa_binding: wish.numa_binding,
            numa_exclusive: wish.numa_exclusive,
            rss_overuse_threshold: wish.rss_overuse_threshold,
            oom_priority: wish.oom_priority,
            network: inner::NetworkWish {
                namespace: wish.net_namespace.map(namespace).transpose()?,
                affinity_restricted: wish.net_affinity_restricted,
            },
        })
    }
}
