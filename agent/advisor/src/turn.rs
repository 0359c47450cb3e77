//! One turn of the agent's loop as a state machine of values: a Sample, a burst, an Outcome or a
//! deadline goes in, Steps and explanations come out. The agent drives it with the real node,
//! `sim` with a simulated one. Owns all decided state; does no I/O and is given the time.
//!
//! Steps of the fast lane come from every entry, those of the slow lane from `tick` alone: a
//! burst leaves what the slow actuator is doing as it is.

mod belief;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::decision::Decision;
use model::derive::{DeriveLimits, derive};
use model::knob::Lane;
use model::plan::{Finding, Generation, Outcome, Overlay, Plan, Severity, Step};
use model::policy::Policy;
use model::qos::WorkloadName;
use model::sample::{Burst, Sample};
use model::snapshot::Snapshot;
use model::{Nanos, SlotId, Timestamp};

use crate::lint::lint;
use crate::plan::{PlanInput, plan};
use crate::suppress::{self, OverlayHistory, RenewInput, SuppressInput};
use crate::{effective, steps};

use belief::Belief;

/// What the caller has to do after an entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// For the fast actuator, in order. Newer generations replace what it has not written yet.
    pub fast: Vec<Step>,
    /// For the slow actuator, likewise. Empty means: nothing new, go on with what there is.
    pub slow: Vec<Step>,
    pub decisions: Vec<Decision>,
    pub findings: Vec<Finding>,
    /// Call `expire` then, unless another entry gave a later time.
    pub next_deadline: Option<Timestamp>,
}

/// Everything the loop remembers.
#[derive(Clone, Debug)]
pub struct TurnState {
    policy: Policy,
    limits: DeriveLimits,
    sample: Option<Sample>,
    snapshot: Option<Arc<Snapshot>>,
    slots: BTreeMap<SlotId, WorkloadName>,
    plan: Option<Arc<Plan>>,
    overlay: Option<Overlay>,
    history: OverlayHistory,
    generation: Generation,
    belief: Belief,
    /// Raised by Outcomes, given out by the next entry.
    findings: Vec<Finding>,
}

impl TurnState {
    pub fn new(policy: Policy) -> TurnState {
        TurnState::restored(policy, None)
    }

    /// Goes on from the Plan of a checkpoint. An overlay is not restored: it lives for seconds,
    /// and what it left in the files is put right by the first tick.
    pub fn restored(policy: Policy, plan: Option<Plan>) -> TurnState {
        let limits = DeriveLimits { max_sample_age: policy.max_sample_age, ..Default::default() };
        TurnState {
            policy,
            limits,
            sample: None,
            snapshot: None,
            slots: BTreeMap::new(),
            generation: plan.as_ref().map_or(Generation(0), |plan| plan.generation),
            plan: plan.map(Arc::new),
            overlay: None,
            history: OverlayHistory::default(),
            belief: Belief::default(),
            findings: Vec::new(),
        }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Takes a new policy; the next tick plans by it.
    pub fn set_policy(&mut self, policy: Policy) {
        if policy.mode != self.policy.mode {
            self.belief.forget_dry_runs();
        }
        self.limits.max_sample_age = policy.max_sample_age;
        self.policy = policy;
    }

    /// The newest derived state; `None` before the first tick with a topology.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The Plan in force, without the overlay.
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.plan.as_ref()
    }

    pub fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref()
    }

    /// The slow tick: derive, plan, look after the overlay, find the Steps.
    pub fn tick(&mut self, now: Timestamp, sample: Sample) -> Effects {
        let mut effects = self.open();
        let derived = derive(self.sample.as_ref(), &sample, &self.limits);
        self.sample = Some(sample);
        let snapshot = match derived {
            Ok(snapshot) => Arc::new(snapshot),
            Err(error) => {
                effects.findings.push(no_snapshot(&error));
                return self.close(effects);
            }
        };
        self.slots = slots(&snapshot);
        self.snapshot = Some(Arc::clone(&snapshot));
        effects.findings.extend(self.belief.observe(&snapshot, self.policy.mode));
        self.replan(now, &snapshot, &mut effects);
        self.review_overlay(now, &snapshot, &mut effects);
        self.emit(now, &[Lane::Fast, Lane::Slow], &mut effects);
        self.close(effects)
    }

    /// A ring-buffer record: decides about suppression at once. Records of slots that the last
    /// tick did not know are answered with nothing.
    pub fn burst(&mut self, now: Timestamp, burst: &Burst) -> Effects {
        let mut effects = self.open();
        // Records keep coming while a victim waits; a hold that is more than half left needs none.
        let half_hold = Nanos(self.history.hold(&self.policy).0 / 2);
        if self.overlay.as_ref().is_some_and(|held| held.expires_at.since(now) > half_hold) {
            return self.close(effects);
        }
        let snapshot = self.snapshot.clone();
        let known = snapshot.as_ref().and_then(|snapshot| self.named(snapshot, burst.victim));
        let Some((victim_name, victim)) = known else { return self.close(effects) };
        let offender = snapshot.as_ref().and_then(|snapshot| self.named(snapshot, burst.offender));
        let (overlay, decision) = suppress::suppress(&SuppressInput {
            now,
            burst,
            victim_name,
            victim,
            offender_qos: offender.map(|(_, offender)| offender.spec.qos),
            overlay: self.overlay.as_ref(),
            history: &self.history,
            policy: &self.policy,
        });
        let history = match decision.rule {
            "suppress-begin" => self.history.begun(now, victim, &self.policy),
            _ => self.history.clone(),
        };
        effects.decisions.push(decision);
        self.history = history;
        let changed = self.overlay != overlay;
        self.overlay = overlay;
        if changed {
            self.emit(now, &[Lane::Fast], &mut effects);
        }
        self.close(effects)
    }

    /// The deadline of an earlier Effects has come: lets batch work go if nothing renewed it.
    pub fn expire(&mut self, now: Timestamp) -> Effects {
        let mut effects = self.open();
        if let Some(overlay) = self.overlay.take_if(|overlay| overlay.expires_at <= now) {
            effects.decisions.push(ended(now, &overlay));
            self.history = self.history.ended(now);
            self.emit(now, &[Lane::Fast], &mut effects);
        }
        self.close(effects)
    }

    /// What an actuator reports back.
    pub fn outcome(&mut self, outcome: &Outcome) {
        self.findings.extend(self.belief.outcome(outcome));
    }

    fn named<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        slot: SlotId,
    ) -> Option<(&'a WorkloadName, &'a model::snapshot::WorkloadView)> {
        let name = self.slots.get(&slot)?;
        Some((name, snapshot.workloads.get(name)?))
    }

    fn replan(&mut self, now: Timestamp, snapshot: &Snapshot, effects: &mut Effects) {
        // Bursts use up generations too; the Plan's is the newest of all.
        let previous = self
            .plan
            .as_ref()
            .map(|plan| Plan { generation: self.generation, ..Plan::clone(plan) });
        let input = PlanInput { now, snapshot, previous: previous.as_ref(), policy: &self.policy };
        let (plan, report) = plan(&input);
        effects.findings.extend(report.findings);
        if previous.as_ref() == Some(&plan) {
            return;
        }
        let wrong = lint(snapshot, &self.policy, previous.as_ref(), &plan);
        let refused = wrong.iter().any(|finding| finding.severity == Severity::Fatal);
        effects.findings.extend(wrong);
        if refused {
            return;
        }
        effects.decisions.extend(report.decisions);
        self.generation = plan.generation;
        self.plan = Some(Arc::new(plan));
    }

    fn review_overlay(&mut self, now: Timestamp, snapshot: &Snapshot, effects: &mut Effects) {
        let (overlay, decision) = match &self.overlay {
            Some(overlay) => suppress::renew(&RenewInput {
                now,
                overlay,
                history: &self.history,
                snapshot,
                policy: &self.policy,
            }),
            None => {
                let begun = suppress::begin_late(now, snapshot, &self.history, &self.policy);
                let Some((overlay, decision)) = begun else { return };
                if let Some(victim) = snapshot.workloads.get(&overlay.victim) {
                    self.history = self.history.begun(now, victim, &self.policy);
                }
                (Some(overlay), decision)
            }
        };
        if overlay.is_none() {
            self.history = self.history.ended(now);
        }
        self.overlay = overlay;
        effects.decisions.push(decision);
    }

    fn emit(&mut self, now: Timestamp, lanes: &[Lane], effects: &mut Effects) {
        let Some(plan) = &self.plan else { return };
        let mut wanted = effective(plan, self.overlay.as_ref(), now);
        self.generation.0 += 1;
        wanted.generation = self.generation;
        let wished = steps(&self.belief.expected(now), &wanted);
        let wished = wished.into_iter().filter(|step| lanes.contains(&step.lane())).collect();
        for step in self.belief.admit(now, wished, &wanted) {
            match step.lane() {
                Lane::Fast => effects.fast.push(step),
                Lane::Slow => effects.slow.push(step),
            }
        }
    }

    fn open(&mut self) -> Effects {
        Effects { findings: std::mem::take(&mut self.findings), ..Effects::default() }
    }

    fn close(&self, mut effects: Effects) -> Effects {
        effects.next_deadline = self.overlay.as_ref().map(|overlay| overlay.expires_at);
        effects
    }
}

fn slots(snapshot: &Snapshot) -> BTreeMap<SlotId, WorkloadName> {
    let tracked = snapshot.workloads.iter().filter(|(_, w)| w.slot != SlotId::UNTRACKED);
    tracked.map(|(name, w)| (w.slot, name.clone())).collect()
}

fn no_snapshot(error: &model::derive::DeriveError) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "no-snapshot",
        subject: "node".to_owned(),
        message: format!("{error}: nothing is planned"),
    }
}

fn ended(now: Timestamp, overlay: &Overlay) -> Decision {
    let lived_ms = now.since(overlay.began_at).0 / 1_000_000;
    Decision {
        at: now,
        rule: "suppress-end",
        subject: overlay.victim.to_string(),
        inputs: vec![("lived", format!("{lived_ms} ms"))],
        result: "batch work is let go".to_owned(),
    }
}

#[cfg(test)]
mod tests;
