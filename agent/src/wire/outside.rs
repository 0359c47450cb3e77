//! Conversations beyond the node: the container runtime, the apiserver, control planes. Each has threads of its own and a list of findings.

use std::sync::Arc;
use std::thread::JoinHandle;

use collector::clock;
use hostfs::HostRoot;
use model::Timestamp;
use model::plan::Finding;
use model::sample::PodOnNode;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::config::Config;
use crate::kubernetes::{self, Cluster, Conversation};
use crate::metrics::Metrics;
use crate::node_state::{NodeState, Request};
use crate::report;

/// What conversations are about.
pub(super) struct About {
    pub(super) state: watch::Receiver<Option<Arc<NodeState>>>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) started_at: Timestamp,
    pub(super) stopping: watch::Receiver<bool>,
}

/// All that are on.
pub(super) struct Outside {
    /// With the container runtime.
    pub(super) runtime: Option<Conversation>,
    pub(super) told: Vec<watch::Receiver<Arc<Vec<Finding>>>>,
    /// The one with the apiserver has a last word.
    pub(super) farewell: Option<JoinHandle<()>>,
}

impl Outside {
    /// Begins those that the configuration asks for; `metrics` learns to count them.
    pub(super) fn begin(
        config: &Config,
        about: &About,
        registry: &mut Registry,
        metrics: &mut Metrics,
    ) -> anyhow::Result<Outside> {
        let About { state, requests, stopping, .. } = about;
        let Some(kubernetes) = &config.kubernetes else {
            let told = reports(config, about, None, registry)?;
            return Ok(Outside { runtime: None, told, farewell: None });
        };
        let cluster = match &kubernetes.apiserver {
            Some(apiserver) => Cluster::start(apiserver, state.clone(), stopping.clone())?,
            None => Cluster::none(),
        };
        *metrics = metrics.clone().with_runtime(registry);
        let heard = (cluster.pods, metrics.runtime.clone());
        let managed = &config.host.managed_cgroup;
        let runtime = kubernetes::start(kubernetes, managed, requests.clone(), heard)?;
        let mut told = reports(config, about, Some(runtime.pods.clone()), registry)?;
        told.extend([runtime.told.clone(), cluster.told]);
        Ok(Outside { runtime: Some(runtime), told, farewell: cluster.thread })
    }
}

/// Findings of each endpoint; none where nothing is reported.
fn reports(
    config: &Config,
    about: &About,
    pods: Option<watch::Receiver<Arc<Vec<PodOnNode>>>>,
    registry: &mut Registry,
) -> anyhow::Result<Vec<report::Told>> {
    let Some(wanted) = &config.report else { return Ok(Vec::new()) };
    let host = HostRoot::new(&config.host.root);
    let identity = report::identity(wanted, &host, about.started_at)?;
    info!(cluster = %identity.cluster, node = %identity.node, "Reporting to a control plane");
    let deps = report::Deps {
        state: about.state.clone(),
        pods,
        metrics: report::Metrics::register(registry),
        clock: clock::now,
        pauses: report::PAUSES,
    };
    Ok(report::start(wanted, &identity, &deps, about.stopping.clone())?)
}
