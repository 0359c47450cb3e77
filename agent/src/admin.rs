//! The admin port of the agent: what healthy and ready mean here.

use std::net::SocketAddr;
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

/// The address of the agent's pod; the manifest sets it.
const POD_IP: &str = "POD_IP";

/// A loop that has not published for so long is stuck: restart the agent.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Serves until `stop`, or logs why it cannot.
pub async fn serve(
    config: &Config,
    state: watch::Receiver<Option<Arc<NodeState>>>,
    registry: Arc<Registry>,
    stop: impl Future<Output = ()>,
) {
    if let Some(address) = config.agent.listen
        && let Some(listener) = bind(address, "/healthz /readyz /metrics").await
    {
        kit::admin::serve(listener, answers(state, registry), stop).await;
    }
}

/// The port for scrapers of the cluster: `/metrics` and nothing else, until `stop`.
pub async fn serve_metrics(
    config: &Config,
    registry: Arc<Registry>,
    stop: impl Future<Output = ()>,
) {
    match config.agent.metrics_listen.address(std::env::var(POD_IP).ok().as_deref()) {
        Ok(None) => {}
        Ok(Some(address)) => {
            if let Some(listener) = bind(address, "/metrics").await {
                kit::admin::serve_metrics(listener, registry, stop).await;
            }
        }
        Err(error) => error!(%error, "Metrics are not served to the cluster"),
    }
}

async fn bind(address: SocketAddr, what: &str) -> Option<TcpListener> {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            error!(%address, %error, what, "The port is not served");
            return None;
        }
    };
    // Port 0 is any: the one that was given is told.
    let address = listener.local_addr().unwrap_or(address);
    info!(%address, "Serving {what}");
    Some(listener)
}

/// What the port of a person answers.
pub(crate) fn answers(
    state: watch::Receiver<Option<Arc<NodeState>>>,
    registry: Arc<Registry>,
) -> Admin {
    let seen = state.clone();
    let health: Checks = Arc::new(move || health(&seen));
    let readiness: Checks = Arc::new(move || readiness(&state));
    Admin { health, readiness, registry }
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
