//! The wait causes of one workload -> `WhySlowReport`: names for slots, largest first, and the
//! sentence a person reads. The shares come from the probe's own sums and always add up to one.

use model::qos::WorkloadName;
use model::sample::WaitCauses;
use model::snapshot::{RunqView, Signal, WorkloadView};
use model::{Nanos, SlotId, Timestamp};
use proto::v1::{self, CauseKind};
use tonic::Status;

use crate::node_state::NodeState;

pub(super) fn report(
    state: &NodeState,
    name: &str,
    now: Timestamp,
) -> Result<v1::WhySlowReport, Status> {
    let seen = &state.snapshot;
    let view = seen
        .workloads
        .get(name)
        .ok_or_else(|| Status::not_found(format!("no workload is named {name:?}")))?;
    let runq = view.runq.as_ref().ok_or_else(|| no_signal(&seen.signal))?;
    let causes = causes(&runq.causes, |slot| name_of(state, slot));
    let (verdict, advice) = verdict(view, runq, causes.first());
    Ok(v1::WhySlowReport {
        workload: name.to_owned(),
        qos: view.spec.qos.to_string(),
        at_mono_ns: seen.at.0,
        now_mono_ns: now.0,
        wait_total_ns: causes.iter().map(|cause| cause.wait_ns).sum(),
        wait_p50_ns: runq.p50.map(|nanos| nanos.0),
        wait_p99_ns: runq.p99.map(|nanos| nanos.0),
        target_wait_p99_us: view.spec.target_p99.map(|micros| micros.0),
        causes,
        verdict,
        advice,
    })
}

fn no_signal(signal: &Signal) -> Status {
    let why = match signal {
        Signal::Good => "its first interval is not over yet",
        Signal::Degraded { why } | Signal::PressureOnly { why } | Signal::None { why } => why,
    };
    Status::failed_precondition(format!("run-queue waits are not known: {why}"))
}

fn name_of(state: &NodeState, slot: SlotId) -> Option<&WorkloadName> {
    let views = &state.snapshot.workloads;
    views.iter().find(|(_, view)| view.slot == slot).map(|(name, _)| name)
}

fn causes<'a>(
    waits: &WaitCauses,
    name_of: impl Fn(SlotId) -> Option<&'a WorkloadName>,
) -> Vec<v1::Cause> {
    let others = waits.by_offender.iter().map(|(slot, wait)| {
        (CauseKind::Offender, name_of(*slot).map(|name| name.to_string()), *wait)
    });
    let told: u64 = waits.by_offender.values().map(|wait| wait.0).sum::<u64>()
        + [waits.own_throttle, waits.own_group, waits.idle_or_steal, waits.untracked]
            .iter()
            .map(|wait| wait.0)
            .sum::<u64>();
    // what the parts do not tell of the total is unknown too
    let unknown = Nanos(waits.unknown.0.max(waits.total.0.saturating_sub(told)));
    let own = [
        (CauseKind::OwnThrottle, None, waits.own_throttle),
        (CauseKind::OwnGroup, None, waits.own_group),
        (CauseKind::IdleOrSteal, None, waits.idle_or_steal),
        (CauseKind::Untracked, None, waits.untracked),
        (CauseKind::Unknown, None, unknown),
    ];
    let mut parts: Vec<_> = others.chain(own).filter(|(_, _, wait)| wait.0 > 0).collect();
    // a stable sort keeps equal parts in slot order
    parts.sort_by_key(|(_, _, wait)| std::cmp::Reverse(*wait));
    // the parts' own sum, so that shares add up to one even where parts exceed the total
    let total: u64 = parts.iter().map(|(_, _, wait)| wait.0).sum();
    let cause = |(kind, workload, wait): (CauseKind, Option<String>, Nanos)| v1::Cause {
        kind: kind.into(),
        workload,
        wait_ns: wait.0,
        share_ratio: wait.0 as f64 / total as f64,
    };
    parts.into_iter().map(cause).collect()
}

/// One sentence on the largest cause, one on what to do about it.
fn verdict(view: &WorkloadView, runq: &RunqView, largest: Option<&v1::Cause>) -> (String, String) {
    let Some(largest) = largest else {
        let verdict = "It did not wait for a CPU in the last interval.".to_owned();
        let advice = "The CPU is not what slows it: look at I/O, locks and its own work.";
        return (verdict, advice.to_owned());
    };
    let share_pct = largest.share_ratio * 100.0;
    let who = largest.workload.as_deref().unwrap_or("a workload that is gone by now");
    let (cause, advice) = match largest.kind() {
        CauseKind::Offender => (
            format!("{who} ran on the CPU"),
            format!("Give {who} a lower QoS level or another pool, or let Berth enforce."),
        ),
        CauseKind::OwnThrottle => (
            "its own cpu.max stopped it".to_owned(),
            "Raise its CPU limit; other workloads have no part in this.".to_owned(),
        ),
        CauseKind::OwnGroup => (
            "its own threads ran on the CPU".to_owned(),
            "It has more runnable threads than CPUs: raise its request or use fewer threads."
                .to_owned(),
        ),
        CauseKind::IdleOrSteal => (
            "the CPU was idle, stolen by the hypervisor or in an interrupt".to_owned(),
            "Look at steal and interrupts with `berth top`; no workload here is at fault."
                .to_owned(),
        ),
        CauseKind::Untracked => (
            "processes outside every workload ran on the CPU".to_owned(),
            "Name them as a [[workload]] in the agent's config, so that they can be held."
                .to_owned(),
        ),
        CauseKind::Unknown | CauseKind::Unspecified => (
            "nobody could be named".to_owned(),
            "Run it again; `berth doctor` says if the probe lost records.".to_owned(),
        ),
    };
    let verdict = format!("{share_pct:.0} % of its waiting was because {cause}.");
    match (view.spec.target_p99, runq.p99) {
        (Some(target), Some(p99)) if p99 <= target.as_nanos() => {
            let calm = "Its p99 is within its target: nothing needs to be done.".to_owned();
            (verdict, calm)
        }
        _ => (verdict, advice),
    }
}

#[cfg(test)]
mod tests;
