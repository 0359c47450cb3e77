//! What follows from measurements on the simulated node: headroom, memory, bursts. Owns their state
//! from tick to tick and how they are shown; the rules are the advisor's.

use std::collections::BTreeMap;

use advisor::burst::{self, Burst, BurstInput};
use advisor::headroom::{self, HeadroomInput};
use advisor::hint::PlacementInput;
use advisor::memory::guard::{Guard, guard};
use advisor::memory::{binder, oom, protect};
use advisor::pool::Pools;
use advisor::tally::Tally;
use model::burst::BurstState;
use model::headroom::{Amount, Explained, Headroom, HeadroomState, NodeHeadroom, ReclaimQuota};
use model::ledger::Resident;
use model::measured::Measured;
use model::memory::BinderState;
use model::qos::PodUid;
use model::{MilliCpu, NumaNodeId, NumaSet, Timestamp};
use serde_json::{Value as Json, json};

use super::advice::AdvicePolicy;

/// The node as it is now, and what was measured of it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) placement: PlacementInput<'a>,
    pub(super) tally: &'a Tally,
    pub(super) pools: &'a Pools,
    pub(super) measured: &'a Measured,
    /// `None`: never.
    pub(super) measured_at: Option<Timestamp>,
    pub(super) quota: &'a ReclaimQuota,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Advice {
    policy: AdvicePolicy,
    headroom: Option<Headroom>,
    headroom_state: HeadroomState,
    binder: BinderState,
    bursts: BTreeMap<PodUid, Burst>,
    burst_state: BurstState,
}

impl Advice {
    pub(super) fn new(policy: AdvicePolicy) -> Advice {
        Advice { policy, ..Advice::default() }
    }

    /// One tick.
    pub(super) fn advance(&mut self, seen: &Seen<'_>) {
        let (told, state) = headroom::headroom(&self.headroom_input(seen));
        (self.headroom, self.headroom_state) = (Some(told), state);
        let now = seen.placement.now;
        let fresh = self.is_fresh(seen);
        if fresh {
            let memory = &self.policy.memory;
            self.binder = binder::observe(memory, &self.binder, seen.measured, now);
        }
        // The simulator gives a pod its request as quota.
        let pods = seen.placement.ledger.pods.iter();
        let quotas: BTreeMap<PodUid, MilliCpu> =
            pods.map(|(uid, one)| (uid.clone(), one.ask.cpu)).collect();
        (self.bursts, self.burst_state) = burst::bursts(&BurstInput {
            now,
            rules: &self.policy.burst,
            ledger: seen.placement.ledger,
            measured: fresh.then_some(seen.measured),
            quotas: &quotas,
            state: &self.burst_state,
        });
    }

    /// What reclaimed pods may take per node, once it is known.
    pub(super) fn cpu_per_numa(&self) -> Option<&BTreeMap<NumaNodeId, MilliCpu>> {
        let is_told = self.headroom.as_ref().is_some_and(|told| told.cpu.value.is_ok());
        is_told.then_some(&self.headroom_state.cpu_per_numa)
    }

    /// Headroom by node as of the last tick; empty before the first one.
    pub(super) fn told_per_numa(&self) -> BTreeMap<NumaNodeId, NodeHeadroom> {
        self.headroom.as_ref().map(|told| told.per_numa.clone()).unwrap_or_default()
    }

    fn headroom_input<'a>(&'a self, seen: &Seen<'a>) -> HeadroomInput<'a> {
        HeadroomInput {
            placement: seen.placement,
            tally: seen.tally,
            pools: seen.pools,
            policy: &self.policy.headroom,
            measured: seen.measured,
            measured_at: seen.measured_at,
            quota: seen.quota,
            state: &self.headroom_state,
        }
    }

    fn is_fresh(&self, seen: &Seen<'_>) -> bool {
        let age = seen.measured_at.map(|at| seen.placement.now.since(at));
        age.is_some_and(|age| age <= self.policy.headroom.max_age)
    }

    /// Headroom as of the last tick.
    pub(super) fn show_headroom(&self, seen: &Seen<'_>) -> Json {
        let first = || headroom::headroom(&self.headroom_input(seen)).0;
        let told = self.headroom.clone().unwrap_or_else(first);
        let parts = told.per_numa.iter().map(|(id, part)| {
            let cpu = part.cpu.map(|cpu| cpu.0);
            let memory = part.memory.map(|memory| memory.0);
            (id.to_string(), json!({ "reclaimed_millicpu": cpu, "reclaimed_memory": memory }))
        });
        json!({
            "reclaimed_millicpu": told.cpu.value.as_ref().ok().map(|value| value.0),
            "reclaimed_memory": told.memory.value.as_ref().ok().map(|value| value.0),
            "per_numa": parts.collect::<serde_json::Map<String, Json>>(),
            "cpu": explained(&told.cpu),
            "memory": explained(&told.memory),
        })
    }

    /// Guard, pressure and the memory files of each pod.
    pub(super) fn show_memory(&self, seen: &Seen<'_>) -> Json {
        let (layout, ledger) = (seen.placement.layout, seen.placement.ledger);
        let policy = &self.policy.memory;
        let kept = protect::protect(&policy.protection, layout, seen.tally, ledger);
        let pod = |(uid, one): (&PodUid, &Resident)| {
            let kept = kept.pods.get(uid);
            let score = oom::score_adj(one.ask.wish.oom_priority);
            json!({
                "pod": one.ask.name.as_str(),
                "mems": binder::mems(layout, seen.tally, &self.binder, one).to_string(),
                "memory_min": kept.map(|kept| kept.min.0),
                "memory_low": kept.map(|kept| kept.low.0),
                "oom_score_adj": score.filter(|_| policy.oom_priority),
            })
        };
        let pressured: NumaSet = self.binder.pressured.keys().copied().collect();
        json!({
            "guard": self.guard(seen),
            "pressured": pressured.to_string(),
            "pods": ledger.pods.iter().map(pod).collect::<Vec<_>>(),
        })
    }

    fn guard(&self, seen: &Seen<'_>) -> Json {
        let none = Measured::default();
        let measured = if self.is_fresh(seen) { seen.measured } else { &none };
        match guard(&self.policy.memory, seen.placement.layout, measured) {
            Guard::Unlimited => json!({ "max": "max", "high": "max", "reason": null }),
            Guard::LeaveAlone(reason) => {
                json!({ "max": null, "high": null, "reason": reason.to_string() })
            }
            Guard::Limit(limit) => json!({
                "max": limit.max.0,
                "high": limit.high.0,
                "reason": null,
                "terms": explained(&limit.explained)["terms"],
            }),
        }
    }

    /// Bursts as of the last tick.
    pub(super) fn show_bursts(&self, seen: &Seen<'_>) -> Json {
        let burst = |(uid, one): (&PodUid, &Resident)| {
            let burst = self.bursts.get(uid);
            json!({
                "pod": one.ask.name.as_str(),
                "percent": burst.and_then(|burst| burst.percent),
                "why": burst.map_or("not decided before the first tick", |burst| burst.why),
            })
        };
        Json::Array(seen.placement.ledger.pods.iter().map(burst).collect())
    }
}

fn explained(one: &Explained) -> Json {
    let terms = one.terms.iter().map(|term| {
        let amount = i64::try_from(term.amount).unwrap_or(i64::MAX);
        json!({ "name": term.name, "amount": amount, "from": term.from })
    });
    let (value, reason) = match &one.value {
        Ok(Amount(value)) => (Some(value), None),
        Err(reason) => (None, Some(reason.to_string())),
    };
    json!({
        "value": value,
        "unit": one.unit.name(),
        "reason": reason,
        "terms": terms.collect::<Vec<_>>(),
    })
}
