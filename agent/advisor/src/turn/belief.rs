//! What is believed to stand in the files, from our own writes and from what was read back; and
//! which files are left alone for now. Owns knowledge, not wishes: those are the Plan's.

use std::collections::BTreeMap;

use model::knob::{Knob, KnobTable, KnobValue, Knobs, Lane};
use model::plan::{Applied, FailureKind, Finding, Outcome, Plan, Severity, Step, StepFailure};
use model::policy::Mode;
use model::qos::CgroupPath;
use model::snapshot::{Snapshot, WorkloadView};
use model::{CgroupId, CpuSet, Nanos, Timestamp};

/// A reading this much younger than our write has surely seen it; a cgroup's files are read one
/// after another under one time stamp.
const SETTLED: Nanos = Nanos::from_millis(100);

/// An Outcome that has not come after this long will not come: the Step is emitted again.
const OUTCOME_DUE: Nanos = Nanos::from_secs(2);

/// A refused file is tried again after this, then after twice as long, and so on ...
const FIRST_RETRY: Nanos = Nanos::from_secs(1);

/// ... up to this: often enough to notice within a minute that somebody fixed the permission.
const LAST_RETRY: Nanos = Nanos::from_secs(60);

/// A workload that no Sample has shown for this long is gone for good.
const FORGET_AFTER: Nanos = Nanos::from_secs(60);

type File = (CgroupPath, Knob);

#[derive(Clone, Debug, Default)]
pub(super) struct Belief {
    table: KnobTable,
    ids: BTreeMap<CgroupPath, CgroupId>,
    seen_at: BTreeMap<CgroupPath, Timestamp>,
    written_at: BTreeMap<File, Timestamp>,
    /// Emitted, no Outcome yet.
    in_flight: BTreeMap<File, (KnobValue, Timestamp)>,
    /// What would stand there had observe mode written.
    dry: KnobTable,
    refused: BTreeMap<File, Refusal>,
    /// Cgroups that vanished, and when; forgotten once they are read again.
    gone: BTreeMap<CgroupPath, Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    not_before: Timestamp,
    delay: Nanos,
}

impl Belief {
    pub(super) fn forget_dry_runs(&mut self) {
        self.dry.clear();
        self.in_flight.clear();
    }

    /// Takes over what was read from the files. A value that is not ours although we wrote it
    /// earlier was written by somebody else.
    pub(super) fn observe(&mut self, snapshot: &Snapshot, mode: Mode) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, view) in &snapshot.workloads {
            self.recognise(view);
            if self.gone.contains_key(&view.cgroup) {
                continue;
            }
            for knob in Knob::ALL {
                let Some((ours, theirs)) = self.observe_knob(view, knob) else { continue };
                if mode == Mode::Enforce {
                    findings.push(foreign(name.as_str(), &view.cgroup, ours, theirs));
                }
            }
        }
        self.drop_unseen(snapshot);
        findings
    }

    /// A new cgroup under an old path is another cgroup.
    fn recognise(&mut self, view: &WorkloadView) {
        let known = self.ids.insert(view.cgroup.clone(), view.cgroup_id);
        if known.is_some_and(|known| known != view.cgroup_id) {
            self.forget(&view.cgroup);
            self.gone.remove(&view.cgroup);
        }
        self.gone.retain(|cgroup, gone_at| *cgroup != view.cgroup || view.knobs_at <= *gone_at);
    }

    fn observe_knob(&mut self, view: &WorkloadView, knob: Knob) -> Option<(KnobValue, KnobValue)> {
        let read = view.knobs.get(knob)?;
        let file = (view.cgroup.clone(), knob);
        // The weight of an idle group reads as something else than what will be after it.
        let masked = knob == Knob::CpuWeight && view.knobs.cpu_idle == Some(true);
        if masked || self.in_flight.contains_key(&file) {
            return None;
        }
        let written_at = self.written_at.get(&file).copied();
        if written_at.is_some_and(|written| view.knobs_at < written.after(SETTLED)) {
            return None;
        }
        let knobs = self.table.entry(view.cgroup.clone()).or_default();
        let believed = knobs.get(knob);
        record(knobs, read);
        let ours = believed.filter(|believed| *believed != read && written_at.is_some())?;
        self.written_at.remove(&file);
        Some((ours, read))
    }

    /// Forgets cgroups that were no workloads for a while. One listing without them proves
    /// nothing, and a refused file that is forgotten is tried again without its delay.
    fn drop_unseen(&mut self, snapshot: &Snapshot) {
        for view in snapshot.workloads.values() {
            self.seen_at.insert(view.cgroup.clone(), snapshot.at);
        }
        let unseen = self.seen_at.iter().filter(|(_, at)| snapshot.at.since(**at) > FORGET_AFTER);
        let unseen: Vec<CgroupPath> = unseen.map(|(cgroup, _)| cgroup.clone()).collect();
        for cgroup in unseen {
            self.forget(&cgroup);
            self.ids.remove(&cgroup);
            self.gone.remove(&cgroup);
            self.seen_at.remove(&cgroup);
        }
    }

    fn forget(&mut self, cgroup: &CgroupPath) {
        self.table.remove(cgroup);
        self.dry.remove(cgroup);
        self.written_at.retain(|(of, _), _| of != cgroup);
        self.in_flight.retain(|(of, _), _| of != cgroup);
        self.refused.retain(|(of, _), _| of != cgroup);
    }

    /// The table as it will be once the fast Steps under way are done. Slow Steps under way are
    /// not counted: they are emitted again whole each tick, in an order safe from what is known.
    pub(super) fn expected(&self, now: Timestamp) -> KnobTable {
        let mut table = self.table.clone();
        for (cgroup, knobs) in &self.dry {
            let entry = table.entry(cgroup.clone()).or_default();
            for value in Knob::ALL.into_iter().filter_map(|knob| knobs.get(knob)) {
                entry.record(value);
            }
        }
        let fresh = self.in_flight.iter().filter(|((_, knob), (_, since))| {
            knob.lane() == Lane::Fast && now.since(*since) < OUTCOME_DUE
        });
        // In the order of `Knob`: idle before weight, as they are written.
        for ((cgroup, _), (value, _)) in fresh {
            record(table.entry(cgroup.clone()).or_default(), *value);
        }
        table
    }

    /// The Steps that may be tried now. Where a cut of a cpuset is held back, whatever would grow
    /// into the CPUs it keeps is held back too.
    pub(super) fn admit(&mut self, now: Timestamp, wished: Vec<Step>, wanted: &Plan) -> Vec<Step> {
        self.in_flight.retain(|_, (_, since)| now.since(*since) < OUTCOME_DUE);
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
        for step in &admitted {
            self.in_flight.insert((step.cgroup.clone(), step.knob()), (step.value, now));
        }
        admitted
    }

    fn may_try(&self, now: Timestamp, step: &Step) -> bool {
        let refused = self.refused.get(&(step.cgroup.clone(), step.knob()));
        !self.gone.contains_key(&step.cgroup) && refused.is_none_or(|r| now >= r.not_before)
    }

    /// CPUs that a group keeps although the Plan gives them away.
    fn overstayed(&self, step: &Step, wanted: &Plan) -> Option<CpuSet> {
        let held = self.table.get(&step.cgroup)?.cpuset_cpus?;
        let planned = wanted.workloads.get(&step.workload)?.cpus;
        let gone = self.gone.contains_key(&step.cgroup);
        (step.knob() == Knob::CpusetCpus && !gone).then(|| held.difference(&planned))
    }

    fn grows_into(&self, step: &Step, stuck: &Step, cpus: &CpuSet, wanted: &Plan) -> bool {
        let KnobValue::CpusetCpus(value) = step.value else { return false };
        let pool = |step: &Step| wanted.workloads.get(&step.workload).map(|w| &w.pool);
        let held = self.table.get(&step.cgroup).and_then(|knobs| knobs.cpuset_cpus);
        let new = value.difference(&held.unwrap_or(CpuSet::EMPTY));
        let inherits = held.is_none_or(|held| held.is_empty());
        pool(step) != pool(stuck) && !inherits && !new.is_disjoint(cpus)
    }

    /// Learns from one Outcome; a refusal is a finding.
    pub(super) fn outcome(&mut self, outcome: &Outcome) -> Option<Finding> {
        let step = &outcome.step;
        let file = (step.cgroup.clone(), step.knob());
        let current = self.in_flight.get(&file).is_some_and(|(value, _)| *value == step.value);
        if current {
            self.in_flight.remove(&file);
        }
        match &outcome.result {
            Ok(Applied::Written | Applied::AlreadyThere) => {
                record(self.table.entry(step.cgroup.clone()).or_default(), step.value);
                self.written_at.insert(file.clone(), outcome.finished_at);
                self.refused.remove(&file);
                None
            }
            Ok(Applied::DryRun) => {
                self.dry.entry(step.cgroup.clone()).or_default().record(step.value);
                None
            }
            Ok(Applied::Superseded) => None,
            Err(failure) => self.failed(file, failure, outcome),
        }
    }

    fn failed(&mut self, file: File, failure: &StepFailure, outcome: &Outcome) -> Option<Finding> {
        let subject = outcome.step.workload.to_string();
        let message = failure.message.clone();
        let finding = |severity, rule| Some(Finding { severity, rule, subject, message });
        match failure.kind {
            FailureKind::Vanished => {
                self.forget(&file.0);
                self.gone.insert(file.0, outcome.finished_at);
                None
            }
            // The next tick tries again by itself.
            FailureKind::Busy | FailureKind::Held => finding(Severity::Note, "step-busy"),
            kind => {
                // What the file holds now is not known.
                if kind == FailureKind::Mismatch {
                    self.table.remove(&file.0);
                }
                let earlier = self.refused.get(&file);
                let delay = earlier.map_or(FIRST_RETRY, |r| Nanos(r.delay.0 * 2).min(LAST_RETRY));
                let not_before = outcome.finished_at.after(delay);
                self.refused.insert(file, Refusal { not_before, delay });
                finding(Severity::Warning, "step-refused")
            }
        }
    }
}

/// Records a value with what the kernel does beside it: `cpu.idle` hides the weight while it is
/// 1 and puts it back to the default when it goes to 0.
fn record(knobs: &mut Knobs, value: KnobValue) {
    if let KnobValue::CpuIdle(idle) = value
        && (idle || knobs.cpu_idle != Some(false))
    {
        knobs.cpu_weight = None;
    }
    knobs.record(value);
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
