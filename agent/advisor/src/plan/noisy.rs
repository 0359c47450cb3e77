//! Isolation on a node that runs: whether anybody counts runnable tasks there. Owns the difference
//! between blind (nothing ever counts them: nobody is isolated) and unclear (they cannot be counted
//! now: who is isolated stays so); who is noisy is `provision`'s.

use std::borrow::Cow;

use model::derive::PROBE;
use model::plan::{Finding, Severity};
use model::provision::{ProvisionPolicy, ProvisionState};
use model::snapshot::Signal;

use super::size::Aim;
use super::{PlanInput, PlanReport};
use crate::provision::{self, ProvisionInput};
use crate::tally::Tally;

/// The policy as this node can follow it.
pub(super) fn policy<'a>(
    input: &PlanInput<'a>,
    report: &mut PlanReport,
) -> Cow<'a, ProvisionPolicy> {
    let policy = &input.policy.provision;
    let blind = match &input.snapshot.signal {
        Signal::Good => return Cow::Borrowed(policy),
        Signal::Degraded { why } => Err(why),
        Signal::PressureOnly { why } | Signal::None { why } => Ok(why),
    };
    // An agent that has just started has not read it yet, which is no reason to let anybody go.
    let health = input.snapshot.sources.get(PROBE);
    let not_yet = health.is_none_or(|probe| probe.age.is_none() && probe.fault.is_none());
    if !policy.isolation.enabled || not_yet {
        return Cow::Borrowed(policy);
    }
    let (severity, rule, message) = match blind {
        Ok(why) => {
            let message = format!("no pod is isolated, runnable tasks are not counted: {why}");
            (Severity::Warning, "isolation-blind", message)
        }
        Err(why) => {
            let message = format!("isolated pods stay as they are, tasks cannot be counted: {why}");
            (Severity::Note, "isolation-unclear", message)
        }
    };
    report.findings.push(Finding { severity, rule, subject: "node".to_owned(), message });
    match blind {
        Ok(_) => Cow::Owned(without_isolation(policy)),
        Err(_) => Cow::Borrowed(policy),
    }
}

fn without_isolation(policy: &ProvisionPolicy) -> ProvisionPolicy {
    let mut policy = policy.clone();
    policy.isolation.enabled = false;
    policy
}

/// Takes noisy pods out of their pools where sizes follow waiting. Without fresh input those that
/// were isolated stay so.
pub(super) fn apart(
    input: &ProvisionInput<'_>,
    aim: Aim,
    report: &mut PlanReport,
) -> (Tally, ProvisionState) {
    let before =
        ProvisionState { isolation: input.state.isolation.clone(), ..ProvisionState::default() };
    let input = ProvisionInput { state: &before, ..*input };
    if aim == Aim::ReclaimFloor {
        return (provision::standing(&input), before);
    }
    let made = provision::apart(&input);
    report.decisions.extend(made.decisions);
    (made.tally, made.state)
}

#[cfg(test)]
mod tests;
