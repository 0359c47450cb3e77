//! What the loop publishes: the whole state of the node as one immutable value. Others hold a
//! `watch::Receiver<Arc<NodeState>>` or send a [`Request`]; nobody but the loop changes anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use advisor::turn::Reserved;
use model::decision::Decision;
use model::ledger::{Place, Resident};
use model::plan::{Finding, Overlay, Plan};
use model::policy::Mode;
use model::qos::WorkloadName;
use model::sample::WorkloadSpec;
use model::snapshot::Snapshot;
use model::{CpuSet, Nanos, NumaSet, Timestamp};
use state::Original;
use tokio::sync::oneshot;

use crate::eyes::Eyes;

/// Everything a person or the reporter may ask about, at one time.
#[derive(Clone, Debug)]
pub struct NodeState {
    pub snapshot: Arc<Snapshot>,
    pub plan: Arc<Plan>,
    /// The overlay in force; it may lie in the past by the time it is read.
    pub overlay: Option<Overlay>,
    pub mode: Mode,
    pub findings: Vec<Finding>,
    pub suppression: SuppressionStats,
    pub agent: AgentHealth,
    pub decisions: DecisionLog,
}

/// From the kernel's timestamp of the first long wait to the read-back of the last Step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuppressionStats {
    pub n_events: u64,
    /// The next three are `None` while there was no event.
    pub p50: Option<Nanos>,
    pub p99: Option<Nanos>,
    pub max: Option<Nanos>,
}

/// What the agent itself costs, and whether its eyes are open.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentHealth {
    pub rss_bytes: Option<model::Bytes>,
    /// Share of one CPU over the last tick.
    pub cpu_ratio: Option<f64>,
    pub eyes: Eyes,
    pub started_at: Timestamp,
}

/// A change someone asks of the loop.
#[derive(Debug)]
pub enum Request {
    /// Answered with the mode before.
    SetMode { mode: Mode, reply: oneshot::Sender<Result<Mode, Refusal>> },
    /// A container is about to be made; nobody can wait long for the answer. `None` where it is left
    /// as the kubelet wants it.
    Place { container: Box<NewContainer>, reply: SyncSender<Option<Reserved>> },
    /// Somebody else is about to change a cpuset. Nobody in observe mode.
    Owners { reply: SyncSender<Vec<Owner>> },
}

/// A pod with CPUs for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub pod: WorkloadName,
    pub cpus: CpuSet,
    /// Where its memory is; empty without a promise.
    pub nodes: NumaSet,
}

impl Owner {
    pub fn all(plan: &Plan) -> Vec<Owner> {
        let owner = |resident: &Resident| match resident.place {
            Place::Own { cpus, nodes } => Some((resident.ask.name.clone(), cpus, nodes)),
            Place::Node(_) | Place::Pool | Place::Anywhere => None,
        };
        let owners = plan.ledger.pods.values().filter_map(owner);
        owners.map(|(pod, cpus, nodes)| Owner { pod, cpus, nodes }).collect()
    }
}

/// A container of a pod before it exists.
#[derive(Clone, Debug, PartialEq)]
pub struct NewContainer {
    pub pod: WorkloadName,
    pub spec: WorkloadSpec,
    /// What it would hold without us; empty where it is there already.
    pub originals: Vec<Original>,
}

/// Why the loop did not do it; one sentence for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// Old decisions are forgotten beyond this many: an hour of one suppression every 4 s, about 300 KiB.
pub const DECISIONS_KEPT: usize = 1024;

/// The newest decisions with their sequence numbers. A clone is cheap and does not change any more.
#[derive(Clone, Debug, Default)]
pub struct DecisionLog {
    kept: Arc<VecDeque<Arc<Decision>>>,
    /// Decisions ever made; the newest kept one has this sequence number.
    n_made: u64,
}

impl DecisionLog {
    pub fn push(&mut self, decision: Decision) {
        let kept = Arc::make_mut(&mut self.kept);
        if kept.len() == DECISIONS_KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::new(decision));
        self.n_made += 1;
    }

    /// Sequence number of the newest; 0 when there was none.
    pub fn newest(&self) -> u64 {
        self.n_made
    }

    /// Those after `sequence` that are still kept, oldest first, with their numbers.
    pub fn after(&self, sequence: u64) -> impl Iterator<Item = (u64, &Arc<Decision>)> {
        let n_forgotten = self.n_made - self.kept.len() as u64;
        let skip = usize::try_from(sequence.saturating_sub(n_forgotten)).unwrap_or(usize::MAX);
        self.kept
            .iter()
            .enumerate()
            .skip(skip)
            .map(move |(idx, decision)| (n_forgotten + idx as u64 + 1, decision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(n_decisions: u64) -> DecisionLog {
        let mut log = DecisionLog::default();
        for idx in 1..=n_decisions {
            log.push(Decision {
                at: Timestamp(idx),
                rule: "test",
                subject: idx.to_string(),
                inputs: Vec::new(),
                result: String::new(),
            });
        }
        log
    }

    #[track_caller]
    fn check(n_decisions: u64, after: u64, first: Option<u64>, n_given: usize) {
        let log = log_of(n_decisions);
        let given: Vec<_> = log.after(after).collect();
        assert_eq!(given.first().map(|(sequence, _)| *sequence), first);
        assert_eq!(given.len(), n_given);
        for (sequence, decision) in given {
            assert_eq!(
                decision.subject,
                sequence.to_string(),
                "number and content belong together"
            );
        }
        assert_eq!(log.newest(), n_decisions);
    }

    #[test]
    fn a_reader_gets_what_is_kept_after_its_number() {
        check(0, 0, None, 0);
        check(3, 0, Some(1), 3);
        check(3, 2, Some(3), 1);
        check(3, 3, None, 0);
        check(3, 99, None, 0);
        let kept = DECISIONS_KEPT as u64;
        check(kept, 0, Some(1), DECISIONS_KEPT);
        check(kept + 10, 0, Some(11), DECISIONS_KEPT);
        check(kept + 10, 5, Some(11), DECISIONS_KEPT);
        check(kept + 10, kept, Some(kept + 1), 10);
    }

    #[test]
    fn a_clone_is_not_changed_by_later_decisions() {
        let mut log = log_of(2);
        let seen = log.clone();
        log.push(Decision {
            rule: "later",
            ..log_of(1).after(0).next().expect("one").1.as_ref().clone()
        });
        assert_eq!((seen.newest(), seen.after(0).count()), (2, 2));
        assert_eq!((log.newest(), log.after(0).count()), (3, 3));
    }
}
