//! Makes a `NodeState` of what the loop knows and hands it to whoever watches; keeps the metrics
//! in step with it.

use std::sync::Arc;

use advisor::turn::TurnState;
use model::Timestamp;
use model::decision::Decision;
use model::plan::Finding;
use tokio::sync::watch;

use crate::eyes::Eyes;
use crate::latency::Quantiles;
use crate::metrics::Metrics;
use crate::node_state::{AgentHealth, DecisionLog, NodeState, SuppressionStats};
use crate::self_cost::SelfCost;

/// The publishing end of the loop.
#[derive(Debug)]
pub struct Publisher {
    state: watch::Sender<Option<Arc<NodeState>>>,
    decisions: DecisionLog,
    metrics: Metrics,
    cost: SelfCost,
    eyes: Eyes,
    started_at: Timestamp,
}

impl Publisher {
    pub fn new(
        state: watch::Sender<Option<Arc<NodeState>>>,
        metrics: Metrics,
        cost: SelfCost,
        eyes: Eyes,
        started_at: Timestamp,
    ) -> Publisher {
        let decisions = DecisionLog::default();
        Publisher { state, decisions, metrics, cost, eyes, started_at }
    }

    pub fn decision(&mut self, decision: Decision) {
        self.metrics.decided(decision.rule);
        self.decisions.push(decision);
    }

    /// Publishes the state after a tick; before the first Snapshot there is none.
    pub fn publish(&mut self, turn: &TurnState, findings: Vec<Finding>, quantiles: Quantiles) {
        let (Some(snapshot), Some(plan)) = (turn.snapshot(), turn.plan()) else {
            return;
        };
        let cost = self.cost.read();
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
        self.metrics.observe(&state);
        self.state.send_replace(Some(Arc::new(state)));
    }
}
