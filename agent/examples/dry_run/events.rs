//! Suppressions as the agent decided and measured them, and which of them a burst of the load
//! caused.

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
    pub(crate) all: Vec<Event>,
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

    /// The first suppression of each burst. Whatever else runs in the victim's cgroup makes events
    /// too, at any time; those are not the load's.
    pub(crate) fn of(&self, bursts: &[Burst]) -> Vec<Event> {
        let first = |burst: &Burst| {
            let inside = burst.from..=burst.to;
            self.all.iter().find(|event| inside.contains(&event.first_wait_at)).copied()
        };
        bursts.iter().filter_map(first).collect()
    }
}

fn event(done: &Decision, decided_at: Timestamp) -> Option<Event> {
    let (_, latency) = done.inputs.iter().find(|(name, _)| *name == "latency_us")?;
    let latency = Nanos(latency.parse::<u64>().ok()? * 1000);
    let first_wait_at = Timestamp(done.at.0.checked_sub(latency.0)?);
    Some(Event { first_wait_at, latency, after_decision: done.at.since(decided_at) })
}
