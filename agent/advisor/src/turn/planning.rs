//! The long part of a slow tick, as a value that can be carried to another thread: derive, plan,
//! lint, and the Steps of the slow lane. Milliseconds at hundreds of workloads, so the loop does not
//! do it itself; bursts are answered meanwhile, by the Snapshot of the tick before.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::decision::Decision;
use model::derive::{DeriveError, DeriveLimits, derive};
use model::knob::Lane;
use model::plan::{Finding, Generation, Plan, Severity, Step};
use model::policy::Policy;
use model::qos::WorkloadName;
use model::sample::Sample;
use model::snapshot::Snapshot;
use model::{SlotId, Timestamp};

use crate::effective;
use crate::lint::lint;
use crate::plan::{Lateness, PlanInput, latest, plan};

use super::belief::Belief;
use super::reclaimed_of;
use super::release::{self, Release};

/// What a tick has to work out, and everything it depends on but the new Sample.
#[derive(Clone, Debug)]
pub struct PlanJob {
    pub(super) now: Timestamp,
    /// The Sample of the tick before.
    pub(super) previous: Option<Arc<Sample>>,
    /// The Plan in force.
    pub(super) plan: Option<Arc<Plan>>,
    /// What is believed of cpusets.
    pub(super) slow: Belief,
    /// For a new Plan and its Steps; newer than any before.
    pub(super) generation: Generation,
    pub(super) policy: Policy,
    pub(super) limits: DeriveLimits,
}

/// What came of a [`PlanJob`]; `TurnState::finish` takes it over.
#[derive(Clone, Debug)]
pub struct Planned {
    /// When the tick began.
    pub(super) at: Timestamp,
    pub(super) sample: Arc<Sample>,
    /// `None` where there is nothing to derive from.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// Who has which slot in it.
    pub(super) slots: BTreeMap<SlotId, WorkloadName>,
    /// A Plan to put in force, and its reclaimed workloads alone; `None` leaves what there is.
    pub(super) plan: Option<(Arc<Plan>, Arc<Plan>)>,
    /// Who waited too long for batch work.
    pub(super) late: Option<WorkloadName>,
    pub(super) slow_steps: Vec<Step>,
    /// Files that the new Plan leaves alone.
    pub(super) released: Vec<Release>,
    pub(super) belief: Belief,
    pub(super) decisions: Vec<Decision>,
    pub(super) findings: Vec<Finding>,
}

impl PlanJob {
    /// Works it out. Pure, and a function of the job and the Sample alone.
    pub fn run(mut self, sample: Sample) -> Planned {
        let derived = derive(self.previous.as_deref(), &sample, &self.limits);
        let mut planned = Planned {
            at: self.now,
            sample: Arc::new(sample),
            snapshot: None,
            slots: BTreeMap::new(),
            plan: None,
            late: None,
            slow_steps: Vec::new(),
            released: Vec::new(),
            belief: std::mem::take(&mut self.slow),
            decisions: Vec::new(),
            findings: Vec::new(),
        };
        match derived {
            Ok(snapshot) => {
                self.plan_for(&snapshot, &mut planned);
                self.find_steps(&snapshot, &mut planned);
                planned.slots = slots(&snapshot);
                let late = latest(&snapshot, &self.policy, Lateness::Contended);
                planned.late = late.map(|(name, _)| name.clone());
                planned.snapshot = Some(Arc::new(snapshot));
            }
            Err(error) => planned.findings.push(no_snapshot(&error)),
        }
        planned
    }

    fn plan_for(&self, snapshot: &Snapshot, planned: &mut Planned) {
        // So that a new Plan gets this job's generation.
        let generation = Generation(self.generation.0.saturating_sub(1));
        let previous = self.plan.as_deref().map(|plan| Plan { generation, ..plan.clone() });
        let previous = previous.as_ref();
        let (plan, report) =
            plan(&PlanInput { now: self.now, snapshot, previous, policy: &self.policy });
        planned.findings.extend(report.findings);
        if previous == Some(&plan) {
            return;
        }
        let wrong = lint(snapshot, &self.policy, previous, &plan);
        let refused = wrong.iter().any(|finding| finding.severity == Severity::Fatal);
        planned.findings.extend(wrong);
        if !refused {
            planned.decisions = report.decisions;
            planned.released =
                previous.map(|before| release::between(before, &plan)).unwrap_or_default();
            let released = planned.released.iter().map(|it| release::decision(self.now, it));
            planned.decisions.extend(released);
            let reclaimed = reclaimed_of(&plan);
            planned.plan = Some((Arc::new(plan), Arc::new(reclaimed)));
        }
    }

    fn find_steps(&self, snapshot: &Snapshot, planned: &mut Planned) {
        let belief = &mut planned.belief;
        planned.released.iter().for_each(|release| belief.release(release));
        let views = snapshot.workloads.iter();
        let mode = self.policy.mode;
        planned.findings.extend(belief.observe(Lane::Slow, views, snapshot.at, mode));
        let newer = planned.plan.as_ref().map(|(plan, _)| plan);
        let Some(plan) = newer.or(self.plan.as_ref()) else { return };
        // No overlay: it touches files of the fast lane only.
        let wanted = effective::workloads(plan, None, self.now);
        planned.slow_steps = belief.steps_to(Lane::Slow, self.now, (plan, self.generation), wanted);
    }
}

impl Planned {
    /// The Sample it was made of.
    pub fn sample(&self) -> &Arc<Sample> {
        &self.sample
    }
}

pub(super) fn slots(snapshot: &Snapshot) -> BTreeMap<SlotId, WorkloadName> {
    let tracked = snapshot.workloads.iter().filter(|(_, w)| w.slot != SlotId::UNTRACKED);
    tracked.map(|(name, w)| (w.slot, name.clone())).collect()
}

fn no_snapshot(error: &DeriveError) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "no-snapshot",
        subject: "node".to_owned(),
        message: format!("{error}: nothing is planned"),
    }
}
