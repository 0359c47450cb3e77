//! Prometheus metrics of the agent. Registers in the registry handed to it; the prefix is the
//! caller's. Owns what is followed; each part's names and labels are in its room.

mod labels;
mod own;
mod plan;
mod runtime;
mod waiting;

use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::registry::Registry;
use tokio::sync::watch;

use self::own::Own;
use self::plan::PlanMetrics;
use self::waiting::Waiting;
use crate::node_state::NodeState;

pub use runtime::{Placed, RuntimeMetrics};

/// Handles of every metric.
#[derive(Clone, Debug)]
pub struct Metrics {
    own: Own,
    plan: PlanMetrics,
    waiting: Waiting,
    /// Of the conversation with a container runtime.
    pub runtime: RuntimeMetrics,
}

impl Metrics {
    /// For an agent that began at `started_at`.
    pub fn register(registry: &mut Registry, started_at: SystemTime) -> Metrics {
        Metrics {
            own: Own::register(registry, started_at),
            plan: PlanMetrics::register(registry),
            waiting: Waiting::register(registry),
            runtime: RuntimeMetrics::default(),
        }
    }

    /// On a node of Kubernetes: elsewhere there is no runtime, and no metric says that it is not heard.
    pub fn with_runtime(self, registry: &mut Registry) -> Metrics {
        Metrics { runtime: RuntimeMetrics::register(registry), ..self }
    }

    /// Follows the published state until its end. Done by whoever serves the metrics, not by the
    /// loop: a scrape holds their locks.
    pub async fn follow(self, mut state: watch::Receiver<Option<Arc<NodeState>>>) {
        let mut seen = Seen::default();
        while state.changed().await.is_ok() {
            let Some(state) = state.borrow_and_update().clone() else { continue };
            self.observe(&state, &mut seen);
        }
    }

    /// Sets every gauge to the state of this tick, and counts what is new in it.
    fn observe(&self, state: &NodeState, seen: &mut Seen) {
        self.waiting.observe(state);
        self.plan.observe(state, seen);
        self.own.observe(state, seen);
        seen.tick = Some(state.snapshot.at);
        seen.decisions = state.decisions.newest();
        seen.suppressions = state.suppression.n_events;
    }
}

/// What has been counted already.
#[derive(Clone, Debug, Default)]
struct Seen {
    decisions: u64,
    suppressions: u64,
    tick: Option<model::Timestamp>,
}

impl Seen {
    /// Whether this is another tick; a mode that was set is published between two.
    fn is_new_tick(&self, state: &NodeState) -> bool {
        self.tick != Some(state.snapshot.at)
    }
}

#[cfg(test)]
mod tests;
