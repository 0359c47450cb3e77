//! The admin port of the agent: what healthy and ready mean here.

use std::sync::Arc;
use std::time::Duration;

use kit::admin::{Admin, Check, Checks};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{error, info};

use crate::config::Config;
use crate::eyes::{Eyes, Status, Witness};
use crate::node_state::NodeState;

/// A loop that has not published for so long is stuck: restart the agent.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Serves until `stop`, or logs why it cannot.
pub async fn serve(
    config: &Config,
    state: watch::Receiver<Option<Arc<NodeState>>>,
    registry: Registry,
    stop: impl Future<Output = ()>,
) {
    let Some(address) = config.agent.listen else {
        return;
    };
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            error!(%address, %error, "The admin port is not served");
            return;
        }
    };
    // Port 0 is any: the one that was given is told.
    let address = listener.local_addr().unwrap_or(address);
    info!(%address, "Serving /healthz /readyz /metrics");
    let seen = state.clone();
    let health: Checks = Arc::new(move || health(&seen));
    let readiness: Checks = Arc::new(move || readiness(&state));
    kit::admin::serve(listener, Admin { health, readiness, registry: Arc::new(registry) }, stop)
        .await;
}

fn health(state: &watch::Receiver<Option<Arc<NodeState>>>) -> Vec<Check> {
    let result = match &*state.borrow() {
        None => Ok(String::new()),
        Some(state) => {
            let age = collector::clock::now().since(state.snapshot.at);
            match u128::from(age.0) > STUCK_AFTER.as_nanos() {
                true => Err(format!("the loop last turned {} s ago", age.0 / 1_000_000_000)),
                false => Ok(String::new()),
            }
        }
    };
    vec![Check { name: "loop", result }]
}

fn readiness(state: &watch::Receiver<Option<Arc<NodeState>>>) -> Vec<Check> {
    let state = state.borrow();
    let Some(state) = &*state else {
        return vec![Check { name: "snapshot", result: Err("no snapshot yet".into()) }];
    };
    let eyes = &state.agent.eyes;
    let fatal = state.findings.iter().find(|f| f.severity == model::plan::Severity::Fatal);
    let plan = match fatal {
        Some(finding) => Err(format!("{}: {}", finding.subject, finding.message)),
        None => Ok(String::new()),
    };
    vec![
        Check { name: "snapshot", result: Ok(String::new()) },
        Check { name: "probe", result: found(&eyes.probe) },
        // Only the probe's stand-in: without it a node with a probe is as ready as any.
        Check { name: "psi", result: Ok(eyes.pressure.text.clone()) },
        Check { name: "witness", result: witness(eyes) },
        Check { name: "plan", result: plan },
    ]
}

fn found(status: &Status) -> Result<String, String> {
    match status.works {
        true => Ok(String::new()),
        false => Err(status.text.clone()),
    }
}

fn witness(eyes: &Eyes) -> Result<String, String> {
    match eyes.witness() {
        Witness::Nobody => Err(Witness::Nobody.to_string()),
        witness => Ok(witness.to_string()),
    }
}
