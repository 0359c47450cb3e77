//! `cpu.max.burst`: how much saved quota a pod may use at once.
//!
//! # Problem
//! A service with a quota is throttled in the middle of a request although it used little in the
//! periods before. Saved quota helps it; work that uses its quota all the time saves none, and every
//! burst is CPU that nobody planned for.
//!
//! # Units
//! Percent of the quota; the file is in microseconds per period.
//!
//! # Approach
//! By the pod's wish: *default* leaves the file alone, *closed* is 0, *static* a fixed percent,
//! *dynamic* follows what is measured, per tick:
//! - it uses `busy_over` of its quota or more: it saves nothing, one step less;
//! - more than `throttled_over` of its periods are throttled: one step more, up to the bound;
//! - it was throttled in less than half of that for `calm_for`: one step less, and the time starts
//!   again;
//! - between the two, or not measured: as it was.
//!
//! The kernel refuses a burst over the quota (kernel/sched/core.c, `tg_set_cfs_bandwidth`), so 100
//! percent is the end of everything.
//!
//! # Worked example
//! Quota 50 ms, percent 150 is read as 100: 50 ms. Dynamic with step 10, threshold 0.05: throttled
//! 0.2, 0.2, 0.04, 0.01 gives 10, 20, 20, 20 percent and, 60 s after the last, 10.
//!
//! # Limits
//! The limits of containers of one pod follow the same percent. Whether the node has the CPU to spare
//! is the business of pools: a burst is inside the pod's own pool.

use std::collections::BTreeMap;

use model::burst::{BurstRules, BurstState, MAX_PODS, PodBurst};
use model::enhancement::{BurstPolicy, BurstWish};
use model::knob::CpuMax;
use model::ledger::Ledger;
use model::measured::{Measured, PodMeasure};
use model::qos::PodUid;
use model::{Micros, MilliCpu, Timestamp};

/// Everything bursts depend on.
#[derive(Clone, Copy, Debug)]
pub struct BurstInput<'a> {
    pub now: Timestamp,
    pub rules: &'a BurstRules,
    pub ledger: &'a Ledger,
    /// `None` when it is too old to act on.
    pub measured: Option<&'a Measured>,
    /// Quota of each pod that has one, all its containers together.
    pub quotas: &'a BTreeMap<PodUid, MilliCpu>,
    pub state: &'a BurstState,
}

/// What should stand in the files of one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Burst {
    /// Of the quota of each container, 0..=100; `None` leaves the files alone.
    pub percent: Option<f64>,
    pub why: &'static str,
}

/// The bursts of all pods, and what the next tick has to know.
pub fn bursts(input: &BurstInput<'_>) -> (BTreeMap<PodUid, Burst>, BurstState) {
    let (mut bursts, mut next) = (BTreeMap::new(), BurstState::default());
    for (uid, resident) in &input.ledger.pods {
        let wish = &resident.ask.wish.burst;
        let burst = match wish.policy {
            BurstPolicy::Default => Burst { percent: None, why: "the pod does not say" },
            BurstPolicy::Closed => Burst { percent: Some(0.0), why: "closed" },
            BurstPolicy::Static => {
                let percent = wish.percent.unwrap_or_else(|| input.rules.static_percent.into());
                Burst { percent: Some(percent.clamp(0.0, 100.0)), why: "static" }
            }
            BurstPolicy::Dynamic => dynamic(input, uid, wish, &mut next),
        };
        bursts.insert(uid.clone(), burst);
    }
    (bursts, next)
}

fn dynamic(input: &BurstInput<'_>, uid: &PodUid, wish: &BurstWish, next: &mut BurstState) -> Burst {
    let Some(quota) = input.quotas.get(uid).filter(|quota| quota.0 > 0) else {
        return Burst { percent: None, why: "dynamic: the pod has no quota" };
    };
    let before = input.state.pods.get(uid).copied();
    if before.is_none() && next.pods.len() >= MAX_PODS {
        return Burst { percent: None, why: "dynamic: too many pods are followed already" };
    }
    let measure = input.measured.and_then(|measured| measured.pods.get(uid));
    let (pod, why) = step(input, *quota, wish, measure, before.unwrap_or_default());
    next.pods.insert(uid.clone(), pod);
    Burst { percent: Some(f64::from(pod.percent)), why }
}

fn step(
    input: &BurstInput<'_>,
    quota: MilliCpu,
    wish: &BurstWish,
    measure: Option<&PodMeasure>,
    before: PodBurst,
) -> (PodBurst, &'static str) {
    let rules = input.rules;
    let most = wish.percent.unwrap_or_else(|| rules.max_percent.into()).clamp(0.0, 100.0) as u8;
    let at_most = |percent: u8, calm_since| PodBurst { percent: percent.min(most), calm_since };
    let less = before.percent.saturating_sub(rules.step_percent);
    let known = measure.and_then(|of| Some((of.throttled_ratio?, of.cpu?)));
    let Some((throttled, used)) = known.filter(|(ratio, _)| ratio.is_finite()) else {
        return (at_most(before.percent, None), "dynamic: not measured, as it was");
    };
    let over = wish.threshold.unwrap_or(rules.throttled_over).min(1.0);
    if used.0 as f64 >= quota.0 as f64 * rules.busy_over {
        return (at_most(less, None), "dynamic: it uses its quota all the time");
    }
    if throttled > over {
        let more = before.percent.saturating_add(rules.step_percent);
        return (at_most(more, None), "dynamic: throttled too often");
    }
    if throttled * 2.0 > over {
        return (at_most(before.percent, None), "dynamic: throttled a little, as it was");
    }
    let since = before.calm_since.unwrap_or(input.now);
    if input.now.since(since) < rules.calm_for {
        return (at_most(before.percent, Some(since)), "dynamic: calm, as it was");
    }
    (at_most(less, Some(input.now)), "dynamic: calm for long enough")
}

/// What stands in the file of one group; `None` where it has no quota, so that nothing can be saved.
pub fn burst_of(max: CpuMax, percent: f64) -> Option<Micros> {
    let quota = max.quota?;
    let burst = (quota.0 as f64 * percent.clamp(0.0, 100.0) / 100.0).floor() as u64;
    Some(Micros(burst.min(quota.0)))
}

#[cfg(test)]
mod tests;
