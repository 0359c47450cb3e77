//! The enhancements of a pod: three annotations with JSON objects of strings, flattened into one map
//! with the cluster's defaults, then read into types. A value that cannot be understood is an error
//! that names key and value: a pod that asks for something must not run without it unnoticed.

mod flat;

use crate::annotation::inner;
use crate::numa::NumaSet;
use crate::qos::{PoolName, QosLevel, QosRules};

pub use flat::{Flat, flatten};

/// What a pod asks for beyond its level.
#[derive(Clone, Debug, PartialEq)]
pub struct Enhancements {
    /// `None`: the default pool of the level.
    pub cpuset_pool: Option<PoolName>,
    /// `false`: its NUMA nodes may not be mixed with another level or pool.
    pub numa_share: bool,
    /// How often over its supply reclaimed CPU may be requested before this pod is evicted; `None`
    /// tolerates anything.
    pub suppression_tolerance_rate: Option<f64>,
    pub burst: BurstWish,
    pub align_by_socket: bool,
    pub distribute_evenly: bool,
    pub full_pcpus_pairing: bool,
    pub numa_number: Option<u16>,
    pub numa_ids: Option<NumaSet>,
    /// Also set by `numa_exclusive` of a dedicated pod.
    pub numa_binding: bool,
    /// Only ever true for dedicated pods.
    pub numa_exclusive: bool,
    pub rss_overuse_threshold: Option<f64>,
    /// Clamped into the range of the level.
    pub oom_priority: i32,
    pub network: NetworkWish,
}

/// `cpu_burst_*`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurstWish {
    pub policy: BurstPolicy,
    /// 0..=100.
    pub percent: Option<f64>,
    pub threshold: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurstPolicy {
    /// Leave the file alone.
    Default,
    Closed,
    Static,
    Dynamic,
}

/// `network_enhancement`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkWish {
    pub namespace: Option<NetNamespace>,
    pub affinity_restricted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetNamespace {
    Host,
    HostPreferred,
    AntiHost,
    AntiHostPreferred,
}

/// Why enhancements are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnhancementError {
    #[error("{key}: {value:?} is not a JSON object of strings: {why}")]
    Malformed { key: String, value: String, why: String },
    #[error("{key}: {value:?} is given twice, the other time as {other:?}")]
    Contradiction { key: String, value: String, other: String },
    #[error("{key}: {value:?} is not allowed; allowed are {allowed}")]
    Value { key: String, value: String, allowed: &'static str },
    #[error("{key}: \"true\" and {other}: \"true\" exclude each other")]
    Exclusive { key: &'static str, other: &'static str },
    #[error("{key}: {value:?} is not possible for {level}: {why}")]
    Level { key: String, value: String, level: QosLevel, why: &'static str },
}

impl Enhancements {
    /// Of a pod of this level that says nothing.
    pub fn none(level: QosLevel) -> Enhancements {
        Enhancements {
            cpuset_pool: None,
            numa_share: true,
            suppression_tolerance_rate: None,
            burst: BurstWish { policy: BurstPolicy::Default, percent: None, threshold: None },
            align_by_socket: false,
            distribute_evenly: false,
            full_pcpus_pairing: false,
            numa_number: None,
            numa_ids: None,
            numa_binding: false,
            numa_exclusive: false,
            rss_overuse_threshold: None,
            oom_priority: oom_range(level).0,
            network: NetworkWish { namespace: None, affinity_restricted: false },
        }
    }

    /// Reads the flattened map of a pod of this level.
    pub fn read(level: QosLevel, flat: &Flat, rules: &QosRules) -> Result<Self, EnhancementError> {
        let dedicated = level == QosLevel::DedicatedCores;
        let numa_exclusive = flag(flat, inner::NUMA_EXCLUSIVE, false)? && dedicated;
        let read = Enhancements {
            cpuset_pool: pool(level, flat)?,
            numa_share: flag(flat, inner::NUMA_SHARE, true)?,
            suppression_tolerance_rate: rate(flat, inner::SUPPRESSION_TOLERANCE_RATE)?
                .filter(|_| level.is_reclaimed()),
            burst: burst(level, flat)?,
            align_by_socket: flag(flat, inner::ALIGN_BY_SOCKET, false)?,
            distribute_evenly: flag(flat, inner::DISTRIBUTE_EVENLY, false)?,
            full_pcpus_pairing: flag(flat, inner::FULL_PCPUS_PAIRING, false)?,
            numa_number: numa_number(flat, &rules.numa_number_key)?,
            numa_ids: numa_ids(flat, &rules.numa_ids_key)?,
            numa_binding: flag(flat, inner::NUMA_BINDING, false)? || numa_exclusive,
            numa_exclusive,
            rss_overuse_threshold: rss_threshold(flat)?,
            oom_priority: oom_priority(level, flat)?,
            network: network(flat)?,
        };
        read.check_exclusive()?;
        Ok(read)
    }

    /// A pod that owns whole nodes has nothing to distribute or to pair.
    fn check_exclusive(&self) -> Result<(), EnhancementError> {
        let key = inner::NUMA_EXCLUSIVE;
        for (wish, other) in [
            (self.distribute_evenly, inner::DISTRIBUTE_EVENLY),
            (self.full_pcpus_pairing, inner::FULL_PCPUS_PAIRING),
        ] {
            if self.numa_exclusive && wish {
                return Err(EnhancementError::Exclusive { key, other });
            }
        }
        Ok(())
    }
}

fn refused(key: &str, value: &str, allowed: &'static str) -> EnhancementError {
    EnhancementError::Value { key: key.to_owned(), value: value.to_owned(), allowed }
}

fn flag(flat: &Flat, key: &str, default: bool) -> Result<bool, EnhancementError> {
    match flat.get(key).map(String::as_str) {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(value) => Err(refused(key, value, "\"true\" and \"false\"")),
    }
}

/// A finite number that is not negative.
fn rate(flat: &Flat, key: &str) -> Result<Option<f64>, EnhancementError> {
    let Some(value) = flat.get(key) else { return Ok(None) };
    let number: Option<f64> = value.trim().parse().ok();
    match number.filter(|number| number.is_finite() && *number >= 0.0) {
        Some(number) => Ok(Some(number)),
        None => Err(refused(key, value, "finite numbers from 0")),
    }
}

fn rss_threshold(flat: &Flat) -> Result<Option<f64>, EnhancementError> {
    let key = inner::RSS_OVERUSE_THRESHOLD;
    match (rate(flat, key)?, flat.get(key)) {
        (Some(number), Some(value)) if number <= 0.0 => {
            Err(refused(key, value, "finite numbers over 0"))
        }
        (number, _) => Ok(number),
    }
}

/// Shared pods name a pool of theirs, system pods one that exists; others have no choice.
fn pool(level: QosLevel, flat: &Flat) -> Result<Option<PoolName>, EnhancementError> {
    let key = inner::CPUSET_POOL;
    let Some(value) = flat.get(key) else { return Ok(None) };
    let chooses = matches!(level, QosLevel::SharedCores | QosLevel::SystemCores);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if value.is_empty() || value.len() > 63 || !value.chars().all(plain) {
        return Err(refused(key, value, "1 to 63 letters, digits, '-', '_' and '.'"));
    }
    // Parts of pools on a node, and pools of one isolated pod, have names made of these.
    let made = value.contains("-NUMA") || value.starts_with("isolation-");
    let taken = PoolName::TAKEN.contains(&value.as_str()) || made;
    if level == QosLevel::SharedCores && taken {
        let (key, value) = (key.to_owned(), value.clone());
        let why = "the name belongs to a pool of the node";
        return Err(EnhancementError::Level { key, value, level, why });
    }
    Ok(chooses.then(|| PoolName::from(value.as_str())))
}

/// Reclaimed work never bursts: whatever is set means `closed`.
fn burst(level: QosLevel, flat: &Flat) -> Result<BurstWish, EnhancementError> {
    let key = inner::CPU_BURST_POLICY;
    let policy = match flat.get(key).map(String::as_str) {
        None | Some("default") => BurstPolicy::Default,
        Some("closed") => BurstPolicy::Closed,
        Some("static") => BurstPolicy::Static,
        Some("dynamic") => BurstPolicy::Dynamic,
        Some(value) => return Err(refused(key, value, "default, closed, static and dynamic")),
    };
    let forced = level.is_reclaimed() && flat.contains_key(key);
    Ok(BurstWish {
        policy: if forced { BurstPolicy::Closed } else { policy },
        percent: rate(flat, inner::CPU_BURST_PERCENT)?.map(|percent| percent.min(100.0)),
        threshold: rate(flat, inner::CPU_BURST_THRESHOLD)?,
    })
}

fn numa_number(flat: &Flat, key: &str) -> Result<Option<u16>, EnhancementError> {
    let Some(value) = flat.get(key) else { return Ok(None) };
    match value.trim().parse() {
        Ok(number @ 1..=crate::numa::MAX_NODES) => Ok(Some(number)),
        _ => Err(refused(key, value, "whole numbers from 1 to 64")),
    }
}

fn numa_ids(flat: &Flat, key: &str) -> Result<Option<NumaSet>, EnhancementError> {
    let Some(value) = flat.get(key) else { return Ok(None) };
    match NumaSet::parse(value).filter(|ids| !ids.is_empty()) {
        Some(ids) => Ok(Some(ids)),
        None => Err(refused(key, value, "lists of NUMA node ids below 64, like \"0,2-3\"")),
    }
}

/// 300 (never kill) and -300 (do not compare) are outside of every level's range and stay.
fn oom_priority(level: QosLevel, flat: &Flat) -> Result<i32, EnhancementError> {
    let (lowest, highest) = oom_range(level);
    let key = inner::OOM_PRIORITY;
    let Some(value) = flat.get(key) else { return Ok(lowest) };
    match value.trim().parse::<i32>() {
        Ok(fixed @ (-300 | 300)) => Ok(fixed),
        Ok(number) => Ok(number.clamp(lowest, highest)),
        Err(_) => {
            Err(refused(key, value, "whole numbers; they are clamped into the level's range"))
        }
    }
}

const fn oom_range(level: QosLevel) -> (i32, i32) {
    match level {
        QosLevel::ReclaimedCores => (-100, -1),
        QosLevel::SharedCores => (0, 99),
        QosLevel::DedicatedCores => (100, 199),
        QosLevel::SystemCores => (200, 299),
    }
}

fn network(flat: &Flat) -> Result<NetworkWish, EnhancementError> {
    let key = inner::NAMESPACE_TYPE;
    let namespace = match flat.get(key).map(String::as_str) {
        None => None,
        Some("host_ns") => Some(NetNamespace::Host),
        Some("host_ns_preferred") => Some(NetNamespace::HostPreferred),
        Some("anti_host_ns") => Some(NetNamespace::AntiHost),
        Some("anti_host_ns_preferred") => Some(NetNamespace::AntiHostPreferred),
        Some(value) => {
            let allowed = "host_ns, host_ns_preferred, anti_host_ns and anti_host_ns_preferred";
            return Err(refused(key, value, allowed));
        }
    };
    let affinity_restricted = flag(flat, inner::TOPOLOGY_AFFINITY_RESTRICTED, false)?;
    Ok(NetworkWish { namespace, affinity_restricted })
}

#[cfg(test)]
mod tests;
