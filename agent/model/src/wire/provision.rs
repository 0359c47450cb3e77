//! Wire form of what provision remembers between two measurements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{WireError, bad};
use crate::provision::{self as inner, Indicator, MicroCpu, ReclaimKnob};
use crate::qos::{PodUid, PoolName};
use crate::units::{MilliCpu, Timestamp};

/// Regions, pods and quotas that are read: over what a node runs, and a bound on one file.
const MAX_ENTRIES: usize = 4096;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProvisionState {
    /// `requests`, `cpus` or `quota`.
    pub knob: String,
    pub regions: BTreeMap<String, RegionState>,
    pub isolation: BTreeMap<String, IsolationState>,
    pub quota_milli: BTreeMap<String, u64>,
}

impl Default for ProvisionState {
    fn default() -> ProvisionState {
        ProvisionState::from(&inner::ProvisionState::default())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionState {
    pub n_cpus: u16,
    pub asked_milli: u64,
    pub last_down_ns: Option<u64>,
    pub adjusted_micro: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IsolationState {
    pub noisy_rounds: u8,
    pub isolated: bool,
    pub quiet_since_ns: Option<u64>,
}

const KNOBS: [(ReclaimKnob, &str); 3] = [
    (ReclaimKnob::Requests, "requests"),
    (ReclaimKnob::Cpus, "cpus"),
    (ReclaimKnob::Quota, "quota"),
];

impl From<&inner::ProvisionState> for ProvisionState {
    fn from(state: &inner::ProvisionState) -> ProvisionState {
        let knob = KNOBS.iter().find(|(knob, _)| *knob == state.knob);
        let pods = state.isolation.iter().map(|(uid, one)| (uid.to_string(), one.into()));
        let quota = state.quota.iter().map(|(name, quota)| (name.to_string(), quota.0));
        let regions = state.regions.iter().map(|(name, one)| (name.to_string(), one.into()));
        ProvisionState {
            knob: knob.map_or("requests", |(_, name)| name).to_owned(),
            regions: regions.collect(),
            isolation: pods.collect(),
            quota_milli: quota.collect(),
        }
    }
}

impl From<&inner::RegionState> for RegionState {
    fn from(region: &inner::RegionState) -> RegionState {
        let sums = region.adjusted.iter().map(|(one, sum)| (one.name().to_owned(), sum.0));
        RegionState {
            n_cpus: region.n_cpus,
            asked_milli: region.asked.0,
            last_down_ns: region.last_down.map(|at| at.0),
            adjusted_micro: sums.collect(),
        }
    }
}

impl From<&inner::IsolationState> for IsolationState {
    fn from(pod: &inner::IsolationState) -> IsolationState {
        IsolationState {
            noisy_rounds: pod.noisy_rounds,
            isolated: pod.isolated,
            quiet_since_ns: pod.quiet_since.map(|at| at.0),
        }
    }
}

impl TryFrom<ProvisionState> for inner::ProvisionState {
    type Error = WireError;

    fn try_from(state: ProvisionState) -> Result<inner::ProvisionState, WireError> {
        let most = state.regions.len().max(state.isolation.len()).max(state.quota_milli.len());
        if most > MAX_ENTRIES {
            return Err(bad("provision entries", most));
        }
        let knob = KNOBS.iter().find(|(_, name)| *name == state.knob);
        let knob = knob.ok_or_else(|| bad("provision.knob", &state.knob))?.0;
        let mut regions = BTreeMap::new();
        for (name, region) in state.regions {
            regions.insert(PoolName::new(name), region.try_into()?);
        }
        let isolation = state.isolation.into_iter().map(|(uid, pod)| {
            let quiet_since = pod.quiet_since_ns.map(Timestamp);
            let (noisy_rounds, isolated) = (pod.noisy_rounds, pod.isolated);
            (PodUid::new(uid), inner::IsolationState { noisy_rounds, isolated, quiet_since })
        });
        let quota = state.quota_milli.into_iter();
        let quota = quota.map(|(name, milli)| (PoolName::new(name), MilliCpu(milli)));
        let (isolation, quota) = (isolation.collect(), quota.collect());
        Ok(inner::ProvisionState { knob, regions, isolation, quota })
    }
}

impl TryFrom<RegionState> for inner::RegionState {
    type Error = WireError;

    fn try_from(region: RegionState) -> Result<inner::RegionState, WireError> {
        let mut adjusted = BTreeMap::new();
        for (name, sum) in region.adjusted_micro {
            let known = Indicator::from_name(&name);
            adjusted.insert(known.ok_or_else(|| bad("provision.indicator", &name))?, MicroCpu(sum));
        }
        Ok(inner::RegionState {
            n_cpus: region.n_cpus,
            asked: MilliCpu(region.asked_milli),
            last_down: region.last_down_ns.map(Timestamp),
            adjusted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{from_json, to_json};

    #[test]
    fn what_is_remembered_comes_back_as_it_was() {
        let mut state = inner::ProvisionState { knob: ReclaimKnob::Quota, ..Default::default() };
        let adjusted = BTreeMap::from([(Indicator::RunqP99, MicroCpu(-1_234_567))]);
        let region = inner::RegionState {
            n_cpus: 7,
            asked: MilliCpu(2500),
            last_down: Some(Timestamp(9)),
            adjusted,
        };
        state.regions.insert(PoolName::from("share-NUMA1"), region);
        let quiet_since = Some(Timestamp(3));
        let pod = inner::IsolationState { noisy_rounds: 0, isolated: true, quiet_since };
        state.isolation.insert(PodUid::from("u1"), pod);
        state.quota.insert(PoolName::from("reclaim"), MilliCpu(1500));
        let text = to_json(&ProvisionState::from(&state)).expect("JSON");
        let read: ProvisionState = from_json(text.as_bytes()).expect("a document");
        assert_eq!(inner::ProvisionState::try_from(read).expect("a state"), state);
    }

    #[test]
    fn unknown_names_and_too_many_entries_are_refused() {
        let empty = ProvisionState::from(&inner::ProvisionState::default());
        let wrong = ProvisionState { knob: "speed".to_owned(), ..empty.clone() };
        let error = inner::ProvisionState::try_from(wrong).expect_err("no such knob");
        assert!(error.to_string().contains("speed"), "{error}");
        let quota_milli = (0..=MAX_ENTRIES).map(|n| (n.to_string(), 1)).collect();
        let many = ProvisionState { quota_milli, ..empty };
        inner::ProvisionState::try_from(many).expect_err("too many");
    }
}
