//! The thread that answers: the socket of the CLI, the admin port, the metrics.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster::configz::ConfigHeard;
use collector::clock;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tracing::error;

use super::until;
use crate::config::Config;
use crate::doctor::{self, StartFacts};
use crate::metrics::Metrics;
use crate::node_state::{NodeState, Request};
use crate::policy_table::PolicyTable;
use crate::serve::{self, ServeDeps};
use crate::{admin, priority};

/// The metrics and where they are registered.
pub(super) struct Exposed {
    pub(super) registry: Registry,
    pub(super) metrics: Metrics,
}

/// The socket and the admin port, on a thread that gives way: readers never delay the loop.
pub(super) fn start_servers(
    (config, path): (Config, PathBuf),
    facts: (StartFacts, watch::Receiver<ConfigHeard>),
    state: watch::Receiver<Option<Arc<NodeState>>>,
    requests: mpsc::Sender<Request>,
    exposed: Exposed,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("berth-serve".to_owned());
    thread.spawn(move || {
        priority::give_way();
        runtime.block_on(async move {
            tokio::spawn(exposed.metrics.follow(state.clone()));
            let registry = Arc::new(exposed.registry);
            let stop = || until(stopping.clone());
            let admin = admin::serve(&config, state.clone(), Arc::clone(&registry), stop());
            let metrics = admin::serve_metrics(&config, registry, stop());
            let socket = serve_socket((&config, &path), facts, state, requests, stop());
            tokio::join!(admin, metrics, socket);
        });
    })?;
    Ok(())
}

/// Follows the published state from its first value on; `None` when there never will be one.
async fn once_published(
    state: &mut watch::Receiver<Option<Arc<NodeState>>>,
) -> Option<watch::Receiver<Arc<NodeState>>> {
    let first = state.wait_for(Option::is_some).await.ok()?.clone()?;
    let (follow, following) = watch::channel(first);
    let mut source = state.clone();
    tokio::spawn(async move {
        while source.changed().await.is_ok() {
            let next = source.borrow_and_update().clone();
            if let Some(next) = next
                && follow.send(next).is_err()
            {
                return;
            }
        }
    });
    Some(following)
}

async fn serve_socket(
    (config, config_path): (&Config, &Path),
    (facts, kubelet): (StartFacts, watch::Receiver<ConfigHeard>),
    mut state: watch::Receiver<Option<Arc<NodeState>>>,
    requests: mpsc::Sender<Request>,
    stop: impl Future<Output = ()>,
) {
    let Some(state) = once_published(&mut state).await else {
        return;
    };
    let doctor_config = config.clone();
    let planned = state.clone();
    let doctor = Arc::new(move || {
        let plan = Arc::clone(&planned.borrow().plan);
        let heard = kubelet.borrow().clone();
        doctor::checks(&doctor_config, &facts, &plan, &heard)
    });
    let policy = Arc::new(PolicyTable::new(config, config_path));
    let deps = ServeDeps { state, requests, doctor, policy, clock: clock::now };
    if let Err(error) = serve::serve(&config.agent.socket, deps, stop).await {
        error!(error = %kit::chain(&error), "The agent's socket is not served");
    }
}
