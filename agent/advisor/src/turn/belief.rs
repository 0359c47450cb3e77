//! What is believed to stand in the files, from our own writes and from what was read back; and
//! which files are left alone for now. Owns knowledge, not wishes: those are the Plan's.

mod held;

use std::borrow::Cow;
use std::collections::BTreeMap;

use model::knob::{Knob, KnobValue, Knobs, Lane};
use model::plan::{
    Applied, FailureKind, Finding, Generation, Outcome, Plan, Severity, Step, StepFailure,
    WorkloadPlan,
};
use model::policy::Mode;
use model::qos::{CgroupPath, WorkloadName};
use model::sample::ContainerSample;
use model::snapshot::WorkloadView;
use model::{Bytes, CpuSet, Nanos, Timestamp};

use super::release::Release;
use crate::steps;

use held::{Held, Read};

/// A workload that no Sample has shown for this long is gone for good.
const FORGET_AFTER: Nanos = Nanos::from_secs(60);

#[derive(Clone, Debug, Default)]
pub(super) struct Belief {
    cgroups: BTreeMap<CgroupPath, Held>,
}

impl Belief {
    pub(super) fn forget_dry_runs(&mut self) {
        self.cgroups.values_mut().for_each(Held::forget_dry_runs);
    }

    /// Takes over what was read from the files of one lane. A value that is not ours although we
    /// wrote it earlier was written by somebody else.
    pub(super) fn observe<'a>(
        &mut self,
        lane: Lane,
        views: impl Iterator<Item = (&'a WorkloadName, &'a WorkloadView)>,
        at: Timestamp,
        mode: Mode,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, view) in views {
            let containers = view.containers.iter().flat_map(|all| all.iter());
            let containers = containers.filter(|_| lane == Lane::Slow);
            let of_container =
                |one: &'a ContainerSample| (&one.cgroup, Read::of_container(one, view.knobs_at));
            let own = std::iter::once((&view.cgroup, Read::of(view)));
            for (cgroup, read) in own.chain(containers.map(of_container)) {
                let foreign = self.look_at(lane, (cgroup, read), at);
                let told = foreign.into_iter().filter(|_| mode == Mode::Enforce);
                findings.extend(
                    told.map(|(ours, theirs)| self::foreign(name.as_str(), cgroup, ours, theirs)),
                );
            }
        }
        // One listing without a cgroup proves nothing, and a refused file that is forgotten is
        // tried again without its delay.
        let seen_lately = |seen: Timestamp| at.since(seen) <= FORGET_AFTER;
        self.cgroups.retain(|_, held| held.seen_at.is_none_or(seen_lately));
        findings
    }

    /// Takes one cgroup's files over; ours and theirs of each that somebody else has written.
    fn look_at(
        &mut self,
        lane: Lane,
        (cgroup, read): (&CgroupPath, Read<'_>),
        at: Timestamp,
    ) -> Vec<(KnobValue, KnobValue)> {
        let held = self.held(cgroup);
        held.recognise(read, at);
        if held.gone_at.is_some() {
            return Vec::new();
        }
        let knobs = Knob::ALL.into_iter().filter(|knob| knob.lane() == lane);
        knobs.filter_map(|knob| held.observe(read, knob)).collect()
    }

    fn held(&mut self, cgroup: &CgroupPath) -> &mut Held {
        self.cgroups.entry(cgroup.clone()).or_default()
    }

    /// Files that are put back: what stands in them is known when they are read.
    pub(super) fn release(&mut self, release: &Release) {
        if let Some(held) = self.cgroups.get_mut(&release.cgroup) {
            release.knobs.iter().for_each(|knob| held.released(*knob));
        }
    }

    /// The Steps of one lane that lead to what is `wanted` of `plan`, those that may be tried now.
    pub(super) fn steps_to<'a>(
        &mut self,
        lane: Lane,
        now: Timestamp,
        (plan, generation): (&Plan, Generation),
        wanted: impl Iterator<Item = (&'a WorkloadName, Cow<'a, WorkloadPlan>)>,
    ) -> Vec<Step> {
        let expected = |cgroup: &CgroupPath| self.expected(now, cgroup);
        let wished = steps::between(&[lane], expected, wanted, generation);
        self.admit(now, wished, plan)
    }

    /// What will stand in a cgroup once the fast Steps under way are done.
    fn expected(&self, now: Timestamp, cgroup: &CgroupPath) -> Knobs {
        self.cgroups.get(cgroup).map(|held| held.expected(now)).unwrap_or_default()
    }

    /// Steps that were found but will not be carried out.
    pub(super) fn withdraw(&mut self, steps: &[Step]) {
        for step in steps {
            self.held(&step.cgroup).arrived(step);
        }
    }

    /// The Steps that may be tried now. Where a cut of a cpuset is held back, whatever would grow
    /// into the CPUs it keeps is held back too.
    fn admit(&mut self, now: Timestamp, wished: Vec<Step>, wanted: &Plan) -> Vec<Step> {
        let (kept, held_back): (Vec<Step>, Vec<Step>) =
            wished.into_iter().partition(|step| self.may_try(now, step));
        let stuck: Vec<(&Step, CpuSet)> = held_back
            .iter()
            .filter_map(|step| Some((step, self.overstayed(step, wanted)?)))
            .collect();
        let mut admitted = kept;
        admitted.retain(|step| {
            !stuck.iter().any(|(other, cpus)| self.grows_into(step, other, cpus, wanted))
        });
        if self.is_under_way(now, &admitted) {
            admitted.retain(|step| step.lane() != Lane::Slow);
        }
        for step in &admitted {
            self.held(&step.cgroup).emitted(step, now);
        }
        admitted
    }

    /// Whether the slow lane is about to do exactly these slow Steps: then it is left alone, and
    /// not given the same batch anew at every tick of a long one.
    fn is_under_way(&mut self, now: Timestamp, steps: &[Step]) -> bool {
        // A file may have two Steps, a cut and a widening; the last one counts.
        let slow = steps.iter().filter(|step| step.lane() == Lane::Slow);
        let wished: BTreeMap<(&CgroupPath, Knob), KnobValue> =
            slow.map(|step| ((&step.cgroup, step.knob()), step.value)).collect();
        let mut n_under_way = 0;
        for held in self.cgroups.values_mut() {
            held.drop_overdue(now);
            n_under_way += held.n_under_way(Lane::Slow);
        }
        let same = |((cgroup, knob), value): (&(&CgroupPath, Knob), &KnobValue)| {
            let held = self.cgroups.get(*cgroup);
            held.and_then(|held| held.under_way(*knob, now)) == Some(*value)
        };
        n_under_way == wished.len() && wished.iter().all(same)
    }

    fn may_try(&self, now: Timestamp, step: &Step) -> bool {
        self.cgroups.get(&step.cgroup).is_none_or(|held| held.may_try(now, step.knob()))
    }

    /// CPUs that a group keeps although the Plan gives them away.
    fn overstayed(&self, step: &Step, wanted: &Plan) -> Option<CpuSet> {
        let held = self.cgroups.get(&step.cgroup)?;
        let planned = wanted.workloads.get(&step.workload)?.cpus;
        let stands = step.knob() == Knob::CpusetCpus && held.gone_at.is_none();
        held.cpuset().filter(|_| stands).map(|cpus| cpus.difference(&planned))
    }

    fn grows_into(&self, step: &Step, stuck: &Step, cpus: &CpuSet, wanted: &Plan) -> bool {
        let KnobValue::CpusetCpus(value) = step.value else { return false };
        let pool = |step: &Step| wanted.workloads.get(&step.workload).map(|w| &w.pool);
        let held = self.cgroups.get(&step.cgroup).and_then(Held::cpuset);
        let new = value.difference(&held.unwrap_or(CpuSet::EMPTY));
        let inherits = held.is_none_or(|held| held.is_empty());
        pool(step) != pool(stuck) && !inherits && !new.is_disjoint(cpus)
    }

    /// Learns from one Outcome; a refusal is a finding.
    pub(super) fn outcome(&mut self, outcome: &Outcome) -> Option<Finding> {
        let step = &outcome.step;
        let held = self.held(&step.cgroup);
        held.arrived(step);
        match &outcome.result {
            Ok(Applied::Written | Applied::AlreadyThere) => {
                held.written(step, outcome.finished_at);
                None
            }
            Ok(Applied::WrittenBelowUse { in_use }) => {
                held.written(step, outcome.finished_at);
                Some(below_use(step, *in_use))
            }
            Ok(Applied::DryRun) => {
                held.dry_run(step);
                None
            }
            Ok(Applied::Superseded) => None,
            Err(failure) => failed(held, failure, outcome),
        }
    }
}

fn below_use(step: &Step, in_use: Bytes) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "memory-max-below-use",
        subject: step.workload.to_string(),
        message: format!(
            "{}/{} was set to {} while {in_use} bytes were in use: the kernel reclaims, and kills where that is not enough",
            step.cgroup,
            step.knob().file(),
            step.value
        ),
    }
}

fn failed(held: &mut Held, failure: &StepFailure, outcome: &Outcome) -> Option<Finding> {
    let subject = outcome.step.workload.to_string();
    let message = failure.message.clone();
    let finding = |severity, rule| Some(Finding { severity, rule, subject, message });
    match failure.kind {
        FailureKind::Vanished => {
            held.forget_files();
            held.gone_at = Some(outcome.finished_at);
            None
        }
        // The next tick tries again by itself.
        FailureKind::Busy | FailureKind::Held => finding(Severity::Note, "step-busy"),
        kind => {
            // What the file holds now is not known.
            if kind == FailureKind::Mismatch {
                held.forget_knobs();
            }
            held.refused(outcome.step.knob(), outcome.finished_at);
            finding(Severity::Warning, "step-refused")
        }
    }
}

fn foreign(name: &str, cgroup: &CgroupPath, ours: KnobValue, theirs: KnobValue) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "foreign-write",
        subject: name.to_owned(),
        message: format!(
            "{cgroup}/{} holds {theirs} although {ours} was written: somebody else writes it too",
            ours.knob().file()
        ),
    }
}

#[cfg(test)]
mod tests;
