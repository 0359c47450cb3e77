//! Who is admitted: workloads that came since the last Plan are, those that left are forgotten, and
//! one that asks for something else is asked about again. Owns the ledger's step from one Plan to
//! the next; the answers are `admit`'s.

use std::sync::Arc;

use model::decision::Decision;
use model::derive::WORKLOADS;
use model::ledger::{Ledger, Place, Resident};
use model::plan::{Finding, Severity};
use model::pod::Ask;
use model::qos::{PodUid, PoolName, QosLevel, WorkloadName};
use model::snapshot::WorkloadView;
use model::{NumaSet, Timestamp};

use super::{PlanInput, PlanReport};
use crate::admit::{self, Refusal};
use crate::hint::PlacementInput;
use crate::layout::Layout;

/// Refused workloads that one Plan asks about again: each question takes microseconds, and a node
/// with hundreds of them must still plan in one millisecond. The next Plan asks others.
const MAX_REFUSED: usize = 16;

/// The ledger of this Plan. The same value as before where nobody came, left or changed.
pub(super) fn settle(
    input: &PlanInput<'_>,
    layout: &Layout,
    report: &mut PlanReport,
) -> Arc<Ledger> {
    let before = input.previous.map(|plan| Arc::clone(&plan.ledger)).unwrap_or_default();
    let mut book = Book { input, layout, ledger: before };
    if has_workloads(input) {
        book.forget();
    }
    for (name, view) in &input.snapshot.workloads {
        report.decisions.extend(book.accept_given(name, view));
    }
    report.decisions.extend(book.leave_kept());
    let mut n_refused = 0;
    for (name, view) in book.newcomers() {
        if n_refused == MAX_REFUSED {
            break;
        }
        match book.admit(name, view) {
            Ok(decision) => report.decisions.push(decision),
            Err(refusal) => {
                n_refused += 1;
                report.findings.push(unplaceable(name, view, &refusal));
            }
        }
    }
    book.ledger
}

/// Whether the list of workloads was read at all: an agent that has just started must not take its
/// empty hands for an empty node.
fn has_workloads(input: &PlanInput<'_>) -> bool {
    input.snapshot.sources.get(WORKLOADS).is_some_and(|source| source.age.is_some())
}

struct Book<'a> {
    input: &'a PlanInput<'a>,
    layout: &'a Layout,
    ledger: Arc<Ledger>,
}

impl<'a> Book<'a> {
    fn placement(&self) -> PlacementInput<'_> {
        PlacementInput {
            now: self.input.now,
            layout: self.layout,
            policy: &self.input.policy.placement,
            ledger: &self.ledger,
            headroom: None,
        }
    }

    fn view_of(&self, uid: &PodUid) -> Option<&'a WorkloadView> {
        self.input.snapshot.workloads.get(uid.as_str())
    }

    /// Takes out who is gone, and who is another one under an old name.
    fn forget(&mut self) {
        let is_awaited = |uid: &PodUid| {
            self.ledger.reserved.get(uid).is_some_and(|until| self.input.now < *until)
        };
        let stays = |(uid, one): (&PodUid, &Resident)| {
            let Some(view) = self.view_of(uid) else { return is_awaited(uid).then_some(()) };
            let was_given = matches!(one.place, Place::Own { nodes, .. } if nodes.is_empty())
                && one.ask.level != QosLevel::DedicatedCores;
            let same = view.spec.qos == one.ask.level
                && *view.spec.wish == one.ask.wish
                && (view.spec.given.is_some() || !was_given);
            same.then_some(())
        };
        let gone: Vec<PodUid> = self
            .ledger
            .pods
            .iter()
            .filter(|entry| stays(*entry).is_none())
            .map(|(uid, _)| uid.clone())
            .collect();
        self.see();
        for uid in gone {
            let mut ledger = (*self.ledger).clone();
            // Whoever is in the ledger can be taken out of it.
            let _ = admit::remove(&self.placement(), &mut ledger, &uid);
            self.ledger = Arc::new(ledger);
        }
    }

    /// CPUs that a kubelet gave away are not ours to refuse: whoever was promised one of them is asked about again.
    fn accept_given(&mut self, name: &WorkloadName, view: &WorkloadView) -> Option<Decision> {
        let cpus = view.spec.given?;
        let ask = Ask::of_workload(name, &view.spec);
        let place = Place::Own { cpus, nodes: NumaSet::EMPTY };
        if self.ledger.pods.get(&ask.uid).is_some_and(|one| one.place == place && one.ask == ask) {
            return None;
        }
        let given = |uid: &PodUid| self.view_of(uid).is_some_and(|view| view.spec.given.is_some());
        let meets = |one: &Resident| match one.place {
            Place::Own { cpus: theirs, .. } => !theirs.is_disjoint(&cpus),
            Place::Node(_) | Place::Pool | Place::Anywhere => false,
        };
        let mut ledger = (*self.ledger).clone();
        ledger.pods.retain(|uid, one| given(uid) || !meets(one));
        ledger.pods.insert(ask.uid.clone(), Resident { ask, place, ramp_until: None });
        self.ledger = Arc::new(ledger);
        Some(Decision {
            at: self.input.now,
            rule: "given",
            subject: name.to_string(),
            inputs: vec![("request", format!("{} mCPU", view.spec.request))],
            result: format!("CPUs {cpus} of its own, by the kubelet"),
        })
    }

    /// CPUs that turn out to be the kubelet's for the system are nobody's own: whoever was promised one is asked about again. Who was given
    /// them by the kubelet keeps them.
    fn leave_kept(&mut self) -> Option<Decision> {
        let kept = self.input.policy.placement.kept.intersection(&self.layout.reserve);
        let leaves = |uid: &PodUid, one: &Resident| {
            let given = self.view_of(uid).is_some_and(|view| view.spec.given.is_some());
            matches!(one.place, Place::Own { cpus, .. } if !given && !cpus.is_disjoint(&kept))
        };
        let left = |(uid, one): &(&PodUid, &Resident)| leaves(uid, one);
        let names: Vec<String> =
            self.ledger.pods.iter().filter(left).map(|(uid, _)| uid.to_string()).collect();
        if names.is_empty() {
            return None;
        }
        let mut ledger = (*self.ledger).clone();
        ledger.pods.retain(|uid, one| !leaves(uid, one));
        self.ledger = Arc::new(ledger);
        Some(Decision {
            at: self.input.now,
            rule: "kept",
            subject: PoolName::RESERVE.to_owned(),
            inputs: vec![("left", names.join(" "))],
            result: format!("CPUs {kept} are kept by the kubelet for the system"),
        })
    }

    /// Who was promised a place and is there now leaves when it is gone, like everybody.
    fn see(&mut self) {
        let stays = |(uid, until): (&PodUid, &Timestamp)| {
            self.view_of(uid).is_none() && self.input.now < *until
        };
        if !self.ledger.reserved.iter().all(stays) {
            let mut ledger = (*self.ledger).clone();
            ledger.reserved = self
                .ledger
                .reserved
                .iter()
                .filter(|entry| stays(*entry))
                .map(|(uid, until)| (uid.clone(), *until))
                .collect();
            self.ledger = Arc::new(ledger);
        }
    }

    /// Those without an answer to what they ask now: who needs CPUs of its own first, then who needs
    /// a certain node. Where many are refused, each Plan begins with others.
    fn newcomers(&self) -> Vec<(&'a WorkloadName, &'a WorkloadView)> {
        let is_new = |(name, view): &(&WorkloadName, &WorkloadView)| {
            let resident = self.ledger.pods.get(name.as_str());
            let same = |one: &Resident| {
                one.ask.cpu == view.spec.request && one.ask.memory == view.spec.memory_request
            };
            view.spec.given.is_none() && !resident.is_some_and(same)
        };
        let mut new: Vec<_> = self.input.snapshot.workloads.iter().filter(is_new).collect();
        if new.len() > MAX_REFUSED {
            let n_plans = self.input.previous.map_or(0, |plan| plan.generation.0);
            let first = n_plans.wrapping_mul(MAX_REFUSED as u64) % new.len() as u64;
            new.rotate_left(usize::try_from(first).unwrap_or(0));
        }
        new.sort_by_key(|(_, view)| (view.spec.qos, !view.spec.wish.numa_binding));
        new
    }

    fn admit(&mut self, name: &WorkloadName, view: &WorkloadView) -> Result<Decision, Refusal> {
        let ask = Ask::of_workload(name, &view.spec);
        let placement = self.placement();
        let admission = match self.ledger.pods.contains_key(name.as_str()) {
            true => admit::resize(&placement, &ask)?,
            false => admit::admit(&placement, &ask, None)?,
        };
        Arc::make_mut(&mut self.ledger).pods.insert(ask.uid, admission.resident);
        Ok(admission.decision)
    }
}

fn unplaceable(name: &WorkloadName, view: &WorkloadView, refusal: &Refusal) -> Finding {
    let where_to = match view.spec.qos {
        QosLevel::SharedCores | QosLevel::DedicatedCores => "in the share pool",
        QosLevel::ReclaimedCores => "in the reclaim pool",
        QosLevel::SystemCores => "on all CPUs",
    };
    Finding {
        severity: Severity::Warning,
        rule: "unplaceable",
        subject: name.to_string(),
        message: format!("{name} does not get what it asks for and runs {where_to}: {refusal}"),
    }
}
