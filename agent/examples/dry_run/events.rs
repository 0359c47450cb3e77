//! Suppressions as the agent decided and measured them, and how many bursts of the load began one.

use std::sync::Arc;

use agent::node_state::NodeState;
use model::decision::Decision;
use model::{Nanos, Timestamp};
use tokio::sync::watch;

use crate::load::Burst;

/// One suppression.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) first_wait_at: Timestamp,
    /// From there to the Outcome of the last Step.
    pub(crate) latency: Nanos,
    /// The agent's part of it: from its decision on.
    pub(crate) after_decision: Nanos,
}

/// Reads them from the published decisions.
pub(crate) struct Events {
    state: watch::Receiver<Option<Arc<NodeState>>>,
    seen: u64,
    decided_at: Timestamp,
    all: Vec<Event>,
}

impl Events {
    pub(crate) fn new(state: watch::Receiver<Option<Arc<NodeState>>>) -> Events {
        Events { state, seen: 0, decided_at: Timestamp(0), all: Vec::new() }
    }

    /// Takes over what was decided since the last call; only so many decisions are kept.
    pub(crate) fn collect(&mut self) {
        let Some(state) = self.state.borrow().clone() else { return };
        for (_, decision) in state.decisions.after(self.seen) {
            match decision.rule {
                "suppress-begin" => self.decided_at = decision.at,
                "suppression-done" => self.all.extend(event(decision, self.decided_at)),
                _ => {}
            }
        }
        self.seen = state.decisions.newest();
    }

    pub(crate) fn since(&self, from: Timestamp) -> Vec<Event> {
        self.all.iter().filter(|event| event.first_wait_at >= from).copied().collect()
    }

    /// How many of the bursts began one.
    pub(crate) fn n_of(&self, bursts: &[Burst]) -> usize {
        let began_one = |burst: &&Burst| {
            let inside = burst.from..=burst.to;
            self.all.iter().any(|event| inside.contains(&event.first_wait_at))
        };
        bursts.iter().filter(began_one).count()
    }
}

fn event(done: &Decision, decided_at: Timestamp) -> Option<Event> {
    let (_, latency) = done.inputs.iter().find(|(name, _)| *name == "latency_us")?;
    let latency = Nanos(latency.parse::<u64>().ok()? * 1000);
    let first_wait_at = Timestamp(done.at.0.checked_sub(latency.0)?);
    Some(Event { first_wait_at, latency, after_decision: done.at.since(decided_at) })
}
