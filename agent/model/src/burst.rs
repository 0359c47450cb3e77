//! `cpu.max.burst`: what the operator wants of it, and what is remembered of pods whose burst follows
//! what is measured. The rules are in `advisor::burst`.

use std::collections::BTreeMap;

use crate::qos::PodUid;
use crate::units::{Nanos, Timestamp};

/// Pods that are remembered: far over what a kubelet runs.
pub const MAX_PODS: usize = 4096;

/// Bounds of the dynamic policy.
#[derive(Clone, Debug, PartialEq)]
pub struct BurstRules {
    /// Percent of the quota for a static pod that names none, 0..=100.
    pub static_percent: u8,
    /// At most this part of the quota, 0..=100; a pod's own percent comes first.
    pub max_percent: u8,
    /// From one tick to the next, 1..=100.
    pub step_percent: u8,
    /// More throttled periods than this are too many; a pod's own threshold comes first.
    pub throttled_over: f64,
    /// A pod that uses this part of its quota all the time saves nothing up that it could burst
    /// with.
    pub busy_over: f64,
    /// It gets less when it was calm for so long.
    pub calm_for: Nanos,
}

/// Bursts that follow what is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BurstState {
    pub pods: BTreeMap<PodUid, PodBurst>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodBurst {
    /// 0..=100.
    pub percent: u8,
    pub calm_since: Option<Timestamp>,
}

impl Default for BurstRules {
    fn default() -> Self {
        BurstRules {
            static_percent: 100,
            max_percent: 100,
            step_percent: 10,
            // One period in twenty: a request that meets it waits a whole period.
            throttled_over: 0.05,
            busy_over: 0.9,
            calm_for: Nanos::from_secs(60),
        }
    }
}
