//! A place for a pod that is about to start: nobody has seen its cgroup yet, and its containers are
//! made with the CPUs that are said here. Owns the promise until a tick sees the pod; what is promised is
//! `admit`'s, and where that is `pool`'s.

use std::sync::Arc;

use model::ledger::{Ledger, Place, Resident};
use model::plan::Plan;
use model::pod::Ask;
use model::qos::{PodUid, WorkloadName};
use model::sample::WorkloadSpec;
use model::snapshot::Snapshot;
use model::{CpuSet, Nanos, Timestamp};

use super::TurnState;
use crate::admit::{self, Refusal};
use crate::hint::PlacementInput;
use crate::layout::Layout;
use crate::plan::{self, PlanInput, PlanReport};
use crate::pool::{self, Placement};
use crate::tally::Tally;

/// A pod whose containers were made is seen within a second or two; one that was never seen did not
/// start.
const KEPT: Nanos = Nanos::from_secs(60);

/// Where a pod's containers are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Reserved {
    pub placement: Placement,
    /// It does not get what it asks for, and runs with the others of its level.
    pub refused: Option<Refusal>,
    pub decisions: Vec<model::decision::Decision>,
}

impl TurnState {
    /// Promises a pod its place, by the Plan in force and all promises since. `None` before the first
    /// Plan of a node whose topology is known. Takes microseconds.
    pub fn reserve(
        &mut self,
        now: Timestamp,
        name: &WorkloadName,
        spec: &WorkloadSpec,
    ) -> Option<Reserved> {
        let snapshot = self.snapshot.clone()?;
        let plan = self.plan.clone()?;
        let layout = self.layout(now, &snapshot, &plan)?;
        let mut ledger = (*plan.ledger).clone();
        let ask = Ask::of_workload(name, spec);
        let placement = |ledger| PlacementInput {
            now,
            layout: &layout,
            policy: &self.policy.placement,
            ledger,
            headroom: None,
        };
        let known = ledger.pods.get(&ask.uid).filter(|one| is_same(one, &ask)).cloned();
        let (resident, decisions) = match known {
            Some(resident) => (resident, Vec::new()),
            None => {
                ledger.pods.remove(&ask.uid);
                match admit::admit(&placement(&ledger), &ask, None) {
                    Ok(admitted) => (admitted.resident, vec![admitted.decision]),
                    Err(refusal) => {
                        let without = Tally::of(&layout, &ledger, None, now);
                        let placement = plan::refused(&layout, spec.qos, &plan.pools);
                        let placement = off_owned(placement, &without);
                        let refused = Some(refusal);
                        return Some(Reserved { placement, refused, decisions: Vec::new() });
                    }
                }
            }
        };
        let placement = place(&layout, &mut ledger, (&plan, &resident), now);
        ledger.reserved.insert(ask.uid.clone(), now.after(KEPT));
        self.plan = Some(Arc::new(Plan { ledger: Arc::new(ledger), ..(*plan).clone() }));
        self.reserved_since.push(ask.uid);
        Some(Reserved { placement, refused: None, decisions })
    }

    fn layout(&self, now: Timestamp, snapshot: &Snapshot, plan: &Plan) -> Option<Layout> {
        let input = PlanInput { now, snapshot, previous: Some(plan), policy: &self.policy };
        plan::layout_of(&input, &mut PlanReport::default())
    }

    /// Whether a Plan that was being worked out meanwhile keeps every promise that was made since; it
    /// knows of them then.
    pub(super) fn keeps_promises(&self, next: Plan) -> Result<Plan, PodUid> {
        let Some(promised) = self.plan.as_ref().map(|plan| &plan.ledger) else { return Ok(next) };
        if self.reserved_since.is_empty() {
            return Ok(next);
        }
        let mut ledger = (*next.ledger).clone();
        for uid in &self.reserved_since {
            let Some(resident) = promised.pods.get(uid) else { continue };
            if contradicts(&ledger, uid, resident) {
                return Err(uid.clone());
            }
            ledger.pods.insert(uid.clone(), resident.clone());
            if let Some(until) = promised.reserved.get(uid) {
                ledger.reserved.insert(uid.clone(), *until);
            }
        }
        Ok(Plan { ledger: Arc::new(ledger), ..next })
    }
}

/// The same pod with the same wishes: another container of it, or one that starts again. Other
/// requests are the next tick's matter.
fn is_same(resident: &Resident, ask: &Ask) -> bool {
    resident.ask.level == ask.level && resident.ask.wish == ask.wish
}

fn place(
    layout: &Layout,
    ledger: &mut Ledger,
    (plan, resident): (&Plan, &Resident),
    now: Timestamp,
) -> Placement {
    ledger.pods.insert(resident.ask.uid.clone(), resident.clone());
    let mut tally = Tally::of(layout, ledger, None, now);
    tally.is_settled = true;
    let placement = pool::placement(layout, &tally, &plan.pools, resident, now);
    match resident.place {
        Place::Own { .. } | Place::Anywhere => placement,
        Place::Node(_) | Place::Pool => off_owned(placement, &tally),
    }
}

/// The pools of the Plan in force still have the CPUs that were promised since.
fn off_owned(placement: Placement, tally: &Tally) -> Placement {
    let cpus = placement.cpus.difference(&tally.own);
    Placement { cpus: if cpus.is_empty() { placement.cpus } else { cpus }, ..placement }
}

fn own(resident: &Resident) -> CpuSet {
    match resident.place {
        Place::Own { cpus, .. } => cpus,
        Place::Node(_) | Place::Pool | Place::Anywhere => CpuSet::EMPTY,
    }
}

fn contradicts(ledger: &Ledger, uid: &PodUid, promised: &Resident) -> bool {
    ledger.pods.iter().any(|(other, resident)| match other == uid {
        true => resident.place != promised.place,
        false => !own(resident).is_disjoint(&own(promised)),
    })
}

#[cfg(test)]
mod tests;
