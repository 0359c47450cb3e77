//! Whether the container runtime has stopped telling of containers without a word: pods run and nobody places them (containerd#13901).
//! Pure: owns for how long a container may be unknown and when the runtime is asked anew.

use std::collections::BTreeMap;

use model::plan::{Finding, Severity};
use model::qos::WorkloadName;
use model::{Nanos, Timestamp};

/// The kubelet tells the apiserver later than the runtime tells us; the other way round it may be late by a status update or two.
const ALLOWED: Nanos = Nanos::from_secs(30);
/// Asking anew lists every container; where that does not help, oftener helps no more.
const AGAIN_AFTER: Nanos = Nanos::from_secs(300);

/// Since when each container is unknown.
#[derive(Debug, Default)]
pub(crate) struct Deafness {
    since: BTreeMap<String, Timestamp>,
    hung_up_at: Option<Timestamp>,
}

/// What was missed at one time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Missed {
    /// Names of pods with unknown containers, sorted.
    pub(crate) pods: Vec<WorkloadName>,
    /// Why the conversation is to be ended now.
    pub(crate) hang_up: Option<String>,
}

impl Deafness {
    /// `untold`: pod and id of each container that runs and that the runtime has not told of.
    pub(crate) fn look<'a>(
        &mut self,
        now: Timestamp,
        untold: impl Iterator<Item = (&'a WorkloadName, &'a str)>,
    ) -> Missed {
        let before = std::mem::take(&mut self.since);
        let mut pods = Vec::new();
        for (pod, id) in untold {
            let since = before.get(id).copied().unwrap_or(now);
            self.since.insert(id.to_owned(), since);
            if now.since(since) >= ALLOWED {
                pods.push(pod.clone());
            }
        }
        pods.sort();
        pods.dedup();
        let is_time = self.hung_up_at.is_none_or(|at| now.since(at) >= AGAIN_AFTER);
        let hang_up = (!pods.is_empty() && is_time).then(|| sentence(&pods));
        if hang_up.is_some() {
            self.hung_up_at = Some(now);
        }
        Missed { pods, hang_up }
    }
}

impl Missed {
    pub(crate) fn finding(&self) -> Option<Finding> {
        let first = self.pods.first()?;
        Some(Finding {
            severity: Severity::Warning,
            rule: "runtime-deaf",
            subject: first.to_string(),
            message: sentence(&self.pods),
        })
    }
}

fn sentence(pods: &[WorkloadName]) -> String {
    let n_more = pods.len().saturating_sub(1);
    let first = pods.first().map(ToString::to_string).unwrap_or_default();
    let more = if n_more == 0 { String::new() } else { format!(" and {n_more} more") };
    format!(
        "the container runtime has told nothing of {first}{more} for {} s although containers of it run",
        ALLOWED.0 / 1_000_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// At each second: who is unknown -> who is missed, and whether we hang up.
    #[test]
    fn a_container_that_stays_unknown_ends_the_conversation_once() {
        let mut deafness = Deafness::default();
        let rows: [(u64, &[&str], &str, bool); 9] = [
            (0, &["a"], "", false),
            (29, &["a"], "", false),
            (30, &["a", "b"], "a", true),
            (60, &["a", "b"], "a b", false),
            (61, &["b"], "b", false),
            (62, &[], "", false),
            (63, &["b"], "", false),
            (329, &["b"], "b", false),
            (330, &["b"], "b", true),
        ];
        for (second, untold, missed, hangs_up) in rows {
            let names: Vec<WorkloadName> = untold.iter().map(|id| WorkloadName::new(*id)).collect();
            let untold = names.iter().zip(untold.iter().copied());
            let found = deafness.look(Timestamp(second * S), untold);
            let pods: Vec<&str> = found.pods.iter().map(WorkloadName::as_str).collect();
            assert_eq!(pods.join(" "), missed, "at {second} s");
            assert_eq!(found.hang_up.is_some(), hangs_up, "at {second} s");
            assert_eq!(found.finding().is_some(), !missed.is_empty(), "at {second} s");
        }
    }
}
