//! One turn of the agent's loop as a state machine of values: a Sample, a burst, an Outcome or a
//! deadline goes in, Steps and explanations come out. The agent drives it with the real node,
//! `sim` with a simulated one. Owns all decided state; does no I/O and is given the time.
//!
//! Steps of the fast lane come from every entry, those of the slow lane from the tick alone: a
//! burst leaves what the slow actuator is doing as it is.
//!
//! The tick has three parts, so that a burst never waits for a long one: `begin` hands out a
//! [`PlanJob`], whoever has time runs it, `finish` takes the result over. One job at a time.
//! `tick` is the three in a row. The job takes along what it needs to find the slow Steps, too, so
//! that what is left to `finish`, like what a burst costs, grows with the reclaimed workloads only.

mod belief;
mod planning;
mod release;
mod reserve;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::decision::Decision;
use model::derive::DeriveLimits;
use model::knob::Lane;
use model::plan::{Finding, Generation, Outcome, Overlay, Plan, Severity, Step};
use model::policy::Policy;
use model::qos::{PodUid, WorkloadName};
use model::sample::{Burst, Sample};
use model::snapshot::Snapshot;
use model::topology::Topology;
use model::{CpuSet, Nanos, SlotId, Timestamp};

use crate::effective;
use crate::suppress::{self, OverlayHistory, RenewInput, SuppressInput};

use belief::Belief;
pub use planning::{PlanJob, Planned};
pub use release::Release;
pub use reserve::Reserved;

/// What the caller has to do after an entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// For the fast actuator, in order. Newer generations replace what it has not written yet.
    pub fast: Vec<Step>,
    /// For the slow actuator, likewise. Empty means: nothing new, go on with what there is.
    pub slow: Vec<Step>,
    /// Files whose originals go back before any Step.
    pub released: Vec<Release>,
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
    sample: Option<Arc<Sample>>,
    snapshot: Option<Arc<Snapshot>>,
    slots: BTreeMap<SlotId, WorkloadName>,
    plan: Option<Arc<Plan>>,
    /// The reclaimed workloads of `plan`: all that an overlay touches.
    reclaimed: Arc<Plan>,
    /// The cores on which they may run.
    reach: CpuSet,
    overlay: Option<Overlay>,
    history: OverlayHistory,
    generation: Generation,
    /// Of the files that an overlay touches, so of reclaimed workloads only.
    fast: Belief,
    /// Of cpusets. Away while a job is under way.
    slow: Belief,
    slow_is_away: bool,
    /// Outcomes for `slow` that came while it was away.
    late_outcomes: Vec<Outcome>,
    /// The mode changed while it was away.
    slow_was_dry: bool,
    /// Raised by Outcomes, given out by the next entry.
    findings: Vec<Finding>,
    /// Who was promised a place since the last tick began: the Plan that it makes knows nothing of them.
    reserved_since: Vec<PodUid>,
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
            reclaimed: Arc::new(plan.as_ref().map(reclaimed_of).unwrap_or_default()),
            reach: CpuSet::EMPTY,
            plan: plan.map(Arc::new),
            overlay: None,
            history: OverlayHistory::default(),
            fast: Belief::default(),
            slow: Belief::default(),
            slow_is_away: false,
            late_outcomes: Vec::new(),
            slow_was_dry: false,
            findings: Vec::new(),
            reserved_since: Vec::new(),
        }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Takes a new policy; the next tick plans by it.
    pub fn set_policy(&mut self, policy: Policy) {
        if policy.mode != self.policy.mode {
            self.fast.forget_dry_runs();
            self.slow.forget_dry_runs();
            self.slow_was_dry = self.slow_is_away;
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
        let planned = self.begin(now).run(sample);
        self.finish(now, planned)
    }

    /// Opens a slow tick. A job that is never finished costs the next one its rates and what is
    /// known of cpusets, which are then written again; no more.
    pub fn begin(&mut self, now: Timestamp) -> PlanJob {
        self.take_late_outcomes();
        self.slow_is_away = true;
        self.reserved_since.clear();
        self.generation.0 += 1;
        PlanJob {
            now,
            previous: self.sample.take(),
            plan: self.plan.clone(),
            slow: std::mem::take(&mut self.slow),
            generation: self.generation,
            policy: self.policy.clone(),
            limits: self.limits,
        }
    }

    /// Closes a slow tick: puts the Plan in force unless it comes too late to act on.
    pub fn finish(&mut self, now: Timestamp, planned: Planned) -> Effects {
        let mut effects = self.open();
        effects.findings.extend(planned.findings);
        self.sample = Some(planned.sample);
        self.slow = planned.belief;
        self.slow_is_away = false;
        self.take_late_outcomes();
        if std::mem::take(&mut self.slow_was_dry) {
            self.slow.forget_dry_runs();
        }
        let Some(snapshot) = planned.snapshot else { return self.close(effects) };
        self.slots = planned.slots;
        self.snapshot = Some(Arc::clone(&snapshot));
        let age = now.since(planned.at);
        if age > self.policy.max_sample_age {
            self.slow.withdraw(&planned.slow_steps);
            effects.findings.push(planned_late(age, self.policy.max_sample_age));
            return self.close(effects);
        }
        if let Some((plan, reclaimed)) = planned.plan {
            match self.keeps_promises(Arc::unwrap_or_clone(plan)) {
                Ok(plan) => {
                    effects.decisions.extend(planned.decisions);
                    planned.released.iter().for_each(|release| self.fast.release(release));
                    effects.released = planned.released;
                    (self.plan, self.reclaimed) = (Some(Arc::new(plan)), reclaimed);
                }
                Err(promised) => {
                    self.slow.withdraw(&planned.slow_steps);
                    effects.findings.push(overtaken(&promised));
                    return self.close(effects);
                }
            }
        }
        self.reach = reach(&self.reclaimed, &snapshot.topology);
        let reclaimed = snapshot.workloads.iter().filter(|(_, view)| view.spec.qos.is_reclaimed());
        let mode = self.policy.mode;
        effects.findings.extend(self.fast.observe(Lane::Fast, reclaimed, snapshot.at, mode));
        self.review_overlay(now, &snapshot, planned.late.as_ref(), &mut effects);
        effects.slow = planned.slow_steps;
        self.emit_fast(now, &mut effects);
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
            meets_batch: self.meets_batch(victim_name),
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
            self.emit_fast(now, &mut effects);
        }
        self.close(effects)
    }

    /// Who has no CPUs in the Plan may be anywhere.
    fn meets_batch(&self, victim: &WorkloadName) -> bool {
        let planned = self.plan.as_ref().and_then(|plan| plan.workloads.get(victim));
        planned.is_none_or(|own| own.cpus.is_empty() || !own.cpus.is_disjoint(&self.reach))
    }

    /// The deadline of an earlier Effects has come: lets batch work go if nothing renewed it.
    pub fn expire(&mut self, now: Timestamp) -> Effects {
        let mut effects = self.open();
        if let Some(overlay) = self.overlay.take_if(|overlay| overlay.expires_at <= now) {
            effects.decisions.push(ended(now, &overlay));
            self.history = self.history.ended(now);
            self.emit_fast(now, &mut effects);
        }
        self.close(effects)
    }

    /// What an actuator reports back.
    pub fn outcome(&mut self, outcome: &Outcome) {
        match outcome.step.lane() {
            Lane::Fast => self.findings.extend(self.fast.outcome(outcome)),
            Lane::Slow if self.slow_is_away => self.late_outcomes.push(outcome.clone()),
            Lane::Slow => self.findings.extend(self.slow.outcome(outcome)),
        }
    }

    fn take_late_outcomes(&mut self) {
        for outcome in std::mem::take(&mut self.late_outcomes) {
            self.findings.extend(self.slow.outcome(&outcome));
        }
    }

    fn named<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        slot: SlotId,
    ) -> Option<(&'a WorkloadName, &'a model::snapshot::WorkloadView)> {
        let name = self.slots.get(&slot)?;
        Some((name, snapshot.workloads.get(name)?))
    }

    /// `late`: who waited too long for batch work.
    fn review_overlay(
        &mut self,
        now: Timestamp,
        snapshot: &Snapshot,
        late: Option<&WorkloadName>,
        effects: &mut Effects,
    ) {
        let (overlay, decision) = match &self.overlay {
            Some(overlay) => suppress::renew(&RenewInput {
                now,
                overlay,
                history: &self.history,
                snapshot,
                policy: &self.policy,
            }),
            None => {
                let late = late.and_then(|name| snapshot.workloads.get_key_value(name));
                let Some(victim) = late else { return };
                let begun =
                    suppress::begin_late(now, snapshot.at, victim, &self.history, &self.policy);
                let Some((overlay, decision)) = begun else { return };
                self.history = self.history.begun(now, victim.1, &self.policy);
                (Some(overlay), Some(decision))
            }
        };
        if overlay.is_none() {
            self.history = self.history.ended(now);
        }
        self.overlay = overlay;
        effects.decisions.extend(decision);
    }

    /// The Steps of the fast lane.
    fn emit_fast(&mut self, now: Timestamp, effects: &mut Effects) {
        self.generation.0 += 1;
        let plan = Arc::clone(&self.reclaimed);
        let wanted = effective::workloads(&plan, self.overlay.as_ref(), now);
        effects.fast = self.fast.steps_to(Lane::Fast, now, (&plan, self.generation), wanted);
    }

    fn open(&mut self) -> Effects {
        Effects { findings: std::mem::take(&mut self.findings), ..Effects::default() }
    }

    fn close(&self, mut effects: Effects) -> Effects {
        effects.next_deadline = self.overlay.as_ref().map(|overlay| overlay.expires_at);
        effects
    }
}

fn reclaimed_of(plan: &Plan) -> Plan {
    let reclaimed = plan.workloads.iter().filter(|(_, workload)| workload.qos.is_reclaimed());
    Plan {
        generation: plan.generation,
        workloads: reclaimed.map(|(name, w)| (name.clone(), w.clone())).collect(),
        ..Plan::default()
    }
}

/// Every core of which batch work may use a CPU: what runs beside it on the same core shares it.
fn reach(reclaimed: &Plan, topology: &Topology) -> CpuSet {
    let may = reclaimed.workloads.values().map(|workload| workload.cpus);
    let may = may.fold(CpuSet::EMPTY, |all, cpus| all.union(&cpus));
    let cores = topology.cores().into_values().filter(|core| !core.is_disjoint(&may));
    cores.fold(may, |all, core| all.union(&core))
}

fn planned_late(age: Nanos, allowed: Nanos) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "plan-late",
        subject: "node".to_owned(),
        message: format!(
            "a Plan took {} ms, allowed are {} ms: it is not put in force",
            age.0 / 1_000_000,
            allowed.0 / 1_000_000
        ),
    }
}

fn overtaken(promised: &PodUid) -> Finding {
    Finding {
        severity: Severity::Note,
        rule: "plan-overtaken",
        subject: promised.to_string(),
        message: format!(
            "{promised} was promised its place while a Plan was worked out that gives it to another: \
             the next Plan takes its place"
        ),
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
