//! Where the waited time of one workload went, with the sentence a person reads. The numbers are
//! the probe's own; bars, colours and the wire are not decided here.

use model::qos::{QosLevel, WorkloadName};
use model::sample::WaitCauses;
use model::snapshot::{RunqView, Signal, Snapshot, WorkloadView};
use model::{Micros, Nanos, SlotId, Timestamp};

/// The waits of one workload over the last interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhySlow {
    pub workload: WorkloadName,
    pub qos: QosLevel,
    pub at: Timestamp,
    /// The causes' sum.
    pub waited: Nanos,
    pub p50: Option<Nanos>,
    pub p99: Option<Nanos>,
    pub target_p99: Option<Micros>,
    /// Largest first; empty when nothing waited, else `per_mille` sums to exactly 1000.
    pub causes: Vec<Cause>,
    /// One sentence on the largest cause.
    pub verdict: String,
    /// One sentence on what to do about it.
    pub advice: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub kind: CauseKind,
    /// Who ran, for an offender that still exists.
    pub workload: Option<WorkloadName>,
    pub wait: Nanos,
    /// Thousandths of the waited time; 123 is 12.3 %.
    pub per_mille: u32,
}

/// As in `WaitCauses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CauseKind {
    Offender,
    OwnThrottle,
    OwnGroup,
    IdleOrSteal,
    Untracked,
    Unknown,
}

/// Why there is nothing to tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("no workload is named {name:?}")]
    NoWorkload { name: WorkloadName },
    #[error("run-queue waits are not known: {why}")]
    NoSignal { why: String },
}

/// Who made `name` wait over the last interval.
pub fn why_slow(snapshot: &Snapshot, name: &WorkloadName) -> Result<WhySlow, NoAnswer> {
    let view = snapshot.workloads.get(name);
    let view = view.ok_or_else(|| NoAnswer::NoWorkload { name: name.clone() })?;
    let runq = view.runq.as_ref().ok_or_else(|| no_signal(&snapshot.signal))?;
    let causes = causes(&runq.causes, snapshot);
    let (verdict, advice) = verdict(view, runq, causes.first());
    Ok(WhySlow {
        workload: name.clone(),
        qos: view.spec.qos,
        at: snapshot.at,
        waited: sum(causes.iter().map(|cause| cause.wait)),
        p50: runq.p50,
        p99: runq.p99,
        target_p99: view.spec.target_p99,
        causes,
        verdict,
        advice,
    })
}

fn no_signal(signal: &Signal) -> NoAnswer {
    let why = match signal {
        Signal::Good => "its first interval is not over yet",
        Signal::Degraded { why } | Signal::PressureOnly { why } | Signal::None { why } => why,
    };
    NoAnswer::NoSignal { why: why.to_owned() }
}

fn causes(waits: &WaitCauses, snapshot: &Snapshot) -> Vec<Cause> {
    let own = [
        (CauseKind::OwnThrottle, waits.own_throttle),
        (CauseKind::OwnGroup, waits.own_group),
        (CauseKind::IdleOrSteal, waits.idle_or_steal),
        (CauseKind::Untracked, waits.untracked),
    ];
    let told = sum(waits.by_offender.values().copied().chain(own.map(|(_, wait)| wait)));
    // What the parts do not tell of the total is unknown too.
    let unknown = Nanos(waits.unknown.0.max(waits.total.0.saturating_sub(told.0)));
    let cause = |kind, workload, wait| Cause { kind, workload, wait, per_mille: 0 };
    let offenders = waits
        .by_offender
        .iter()
        .map(|(slot, wait)| cause(CauseKind::Offender, name_of(snapshot, *slot), *wait));
    let own = own.into_iter().chain([(CauseKind::Unknown, unknown)]);
    let all = offenders.chain(own.map(|(kind, wait)| cause(kind, None, wait)));
    let mut causes: Vec<Cause> = all.filter(|cause| cause.wait.0 > 0).collect();
    // A stable sort keeps equal causes in slot order.
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.wait));
    share(&mut causes);
    causes
}

fn name_of(snapshot: &Snapshot, slot: SlotId) -> Option<WorkloadName> {
    let mut views = snapshot.workloads.iter();
    views.find(|(_, view)| view.slot == slot).map(|(name, _)| name.clone())
}

fn sum(waits: impl Iterator<Item = Nanos>) -> Nanos {
    Nanos(waits.fold(0, |sum, wait| sum.saturating_add(wait.0)))
}

/// Rounds every share of the causes' own sum down, then hands the missing thousandths to the
/// largest remainders, earliest first.
fn share(causes: &mut [Cause]) {
    let whole: u128 = causes.iter().map(|cause| u128::from(cause.wait.0)).sum();
    let exact = |cause: &Cause| u128::from(cause.wait.0) * 1000;
    for cause in causes.iter_mut() {
        cause.per_mille = u32::try_from(exact(cause) / whole).unwrap_or(1000);
    }
    let given: u32 = causes.iter().map(|cause| cause.per_mille).sum();
    let mut order: Vec<usize> = (0..causes.len()).collect();
    order.sort_by_key(|idx| std::cmp::Reverse(exact(&causes[*idx]) % whole));
    // Fewer are missing than there are causes: each lost less than one.
    for idx in order.into_iter().take((1000 - given.min(1000)) as usize) {
        causes[idx].per_mille += 1;
    }
}

fn verdict(view: &WorkloadView, runq: &RunqView, largest: Option<&Cause>) -> (String, String) {
    let Some(largest) = largest else {
        let verdict = "It did not wait for a CPU in the last interval.".to_owned();
        let advice = "The CPU is not what slows it: look at I/O, locks and its own work.";
        return (verdict, advice.to_owned());
    };
    let (cause, advice) = sentence(largest);
    let share_pct = (largest.per_mille + 5) / 10;
    let verdict = format!("{share_pct} % of its waiting was because {cause}.");
    match (view.spec.target_p99, runq.p99) {
        (Some(target), Some(p99)) if p99 <= target.as_nanos() => {
            let calm = "Its p99 is within its target: nothing needs to be done.".to_owned();
            (verdict, calm)
        }
        _ => (verdict, advice),
    }
}

/// What happened, and what to do about it.
fn sentence(cause: &Cause) -> (String, String) {
    let (what, advice) = match cause.kind {
        CauseKind::Offender => {
            let gone = "a workload that is gone by now";
            let who = cause.workload.as_ref().map_or(gone, WorkloadName::as_str);
            return (
                format!("{who} ran on the CPU"),
                format!("Give {who} a lower QoS level or another pool, or let Berth enforce."),
            );
        }
        CauseKind::OwnThrottle => (
            "its own cpu.max stopped it",
            "Raise its CPU limit; other workloads have no part in this.",
        ),
        CauseKind::OwnGroup => (
            "its own threads ran on the CPU",
            "It has more runnable threads than CPUs: raise its request or use fewer threads.",
        ),
        CauseKind::IdleOrSteal => (
            "the CPU was idle, stolen by the hypervisor or in an interrupt",
            "Look at steal and interrupts with `berth top`; no workload here is at fault.",
        ),
        CauseKind::Untracked => (
            "processes outside every workload ran on the CPU",
            "Name them as a [[workload]] in the agent's config, so that they can be held.",
        ),
        CauseKind::Unknown => (
            "nobody could be named",
            "Run it again; `berth doctor` says if the probe lost records.",
        ),
    };
    (what.to_owned(), advice.to_owned())
}

#[cfg(test)]
mod tests;
