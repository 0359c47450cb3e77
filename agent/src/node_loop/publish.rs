//! Makes a `NodeState` of what the loop knows and hands it to whoever watches.

use std::sync::Arc;

use advisor::turn::TurnState;
use model::Timestamp;
use model::decision::Decision;
use model::plan::Finding;
use model::policy::Mode;
use tokio::sync::watch;

use crate::eyes::Eyes;
use crate::latency::Quantiles;
use crate::node_state::{AgentHealth, DecisionLog, NodeState, SuppressionStats};
use crate::self_cost::Cost;

/// The publishing end of the loop.
#[derive(Debug)]
pub struct Publisher {
    state: watch::Sender<Option<Arc<NodeState>>>,
    decisions: DecisionLog,
    eyes: Eyes,
    started_at: Timestamp,
}

impl Publisher {
    pub fn new(
        state: watch::Sender<Option<Arc<NodeState>>>,
        eyes: Eyes,
        started_at: Timestamp,
    ) -> Publisher {
        let decisions = DecisionLog::default();
        Publisher { state, decisions, eyes, started_at }
    }

    pub fn decision(&mut self, decision: Decision) {
        self.decisions.push(decision);
    }

    /// A mode that was set is told at once: whoever set it may read it back before the next tick.
    pub fn mode(&self, mode: Mode) {
        self.state.send_if_modified(|state| {
            let Some(told) = state.as_mut().filter(|told| told.mode != mode) else { return false };
            *told = Arc::new(NodeState { mode, ..NodeState::clone(told) });
            true
        });
    }

    /// Publishes the state after a tick; before the first Snapshot there is none. Gives back what
    /// it replaced, for somebody with more time to free.
    pub fn publish(
        &mut self,
        turn: &TurnState,
        findings: Vec<Finding>,
        quantiles: Quantiles,
        cost: Cost,
    ) -> Option<Arc<NodeState>> {
        let (snapshot, plan) = (turn.snapshot()?, turn.plan()?);
        let state = NodeState {
            snapshot: Arc::clone(snapshot),
            plan: Arc::clone(plan),
            overlay: turn.overlay().cloned(),
            mode: turn.policy().mode,
            findings,
            suppression: SuppressionStats {
                n_events: quantiles.n_events,
                p50: quantiles.p50,
                p99: quantiles.p99,
                max: quantiles.max,
            },
            agent: AgentHealth {
                rss_bytes: cost.rss,
                cpu_ratio: cost.cpu_ratio,
                eyes: self.eyes.clone(),
                started_at: self.started_at,
            },
            decisions: self.decisions.clone(),
        };
        self.state.send_replace(Some(Arc::new(state)))
    }
}
