//! `advisor::why_slow` -> `WhySlowReport`, its refusals -> `Status`. The words and the shares are
//! the advisor's.

use advisor::{Cause, CauseKind, NoAnswer};
use model::Timestamp;
use model::qos::WorkloadName;
use proto::v1;
use tonic::Status;

use crate::node_state::NodeState;

pub(super) fn report(
    state: &NodeState,
    name: &str,
    now: Timestamp,
) -> Result<v1::WhySlowReport, Status> {
    let why = advisor::why_slow(&state.snapshot, &WorkloadName::from(name)).map_err(status)?;
    Ok(v1::WhySlowReport {
        workload: why.workload.to_string(),
        qos: why.qos.to_string(),
        at_mono_ns: why.at.0,
        now_mono_ns: now.0,
        wait_total_ns: why.waited.0,
        wait_p50_ns: why.p50.map(|nanos| nanos.0),
        wait_p99_ns: why.p99.map(|nanos| nanos.0),
        target_wait_p99_us: why.target_p99.map(|micros| micros.0),
        causes: why.causes.into_iter().map(cause).collect(),
        verdict: why.verdict,
        advice: why.advice,
    })
}

fn status(refusal: NoAnswer) -> Status {
    let message = refusal.to_string();
    match refusal {
        NoAnswer::NoWorkload { .. } => Status::not_found(message),
        NoAnswer::NoSignal { .. } => Status::failed_precondition(message),
    }
}

fn cause(cause: Cause) -> v1::Cause {
    let kind = match cause.kind {
        CauseKind::Offender => v1::CauseKind::Offender,
        CauseKind::OwnThrottle => v1::CauseKind::OwnThrottle,
        CauseKind::OwnGroup => v1::CauseKind::OwnGroup,
        CauseKind::IdleOrSteal => v1::CauseKind::IdleOrSteal,
        CauseKind::Untracked => v1::CauseKind::Untracked,
        CauseKind::Unknown => v1::CauseKind::Unknown,
    };
    v1::Cause {
        kind: kind.into(),
        workload: cause.workload.map(|name| name.to_string()),
        wait_ns: cause.wait.0,
        share_ratio: f64::from(cause.per_mille) / 1000.0,
    }
}

#[cfg(test)]
mod tests;
