//! Conversations beyond the node: the container runtime, the apiserver, control planes. Each has threads of its own and a list of findings.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use cluster::configz::ConfigHeard;
use cluster::node::NodeHeard;
use collector::clock;
use hostfs::HostRoot;
use model::Timestamp;
use model::plan::Finding;
use model::sample::PodOnNode;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
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
    /// What the kubelet says of its configuration.
    pub(super) kubelet: watch::Receiver<ConfigHeard>,
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
            let none = Cluster::none();
            let told = reports(config, about, (None, None), registry)?;
            return Ok(Outside { kubelet: none.kubelet, runtime: None, told, farewell: None });
        };
        let cluster = match &kubernetes.apiserver {
            Some(apiserver) => Cluster::start(apiserver, state.clone(), stopping.clone())?,
            None => Cluster::none(),
        };
        first_word(cluster.kubelet.clone())?;
        *metrics = metrics.clone().with_runtime(registry);
        let heard = (cluster.pods, metrics.runtime.clone());
        let managed = &config.host.managed_cgroup;
        let runtime = kubernetes::start(kubernetes, managed, requests.clone(), heard)?;
        let known = (Some(runtime.pods.clone()), cluster.node);
        let mut told = reports(config, about, known, registry)?;
        told.extend([runtime.told.clone(), cluster.told]);
        let (runtime, farewell) = (Some(runtime), cluster.thread);
        Ok(Outside { kubelet: cluster.kubelet, runtime, told, farewell })
    }
}

/// A kubelet answers within milliseconds. One that does not is heard later: pods may have to move then.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Waits until the kubelet has told its configuration or why not: the first Plan is made by it.
fn first_word(mut kubelet: watch::Receiver<ConfigHeard>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let said = |heard: &ConfigHeard| heard.config.is_some() || heard.fault.is_some();
    // Without a word in time the Plan is made all the same.
    let waited = async { timeout(FIRST_WORD, kubelet.wait_for(said)).await.is_ok() };
    if !runtime.block_on(waited) {
        info!("The kubelet has not told its configuration yet");
    }
    Ok(())
}

type PodsSeen = watch::Receiver<Arc<Vec<PodOnNode>>>;

/// Findings of each endpoint; none where nothing is reported.
fn reports(
    config: &Config,
    about: &About,
    (pods, node): (Option<PodsSeen>, Option<watch::Receiver<NodeHeard>>),
    registry: &mut Registry,
) -> anyhow::Result<Vec<report::Told>> {
    let Some(wanted) = &config.report else { return Ok(Vec::new()) };
    let host = HostRoot::new(&config.host.root);
    let identity = report::identity(wanted, &host, about.started_at, node.is_some())?;
    info!(cluster = %identity.cluster, node = %identity.node, "Reporting to a control plane");
    let deps = report::Deps {
        state: about.state.clone(),
        pods,
        node,
        metrics: report::Metrics::register(registry),
        clock: clock::now,
        pauses: report::PAUSES,
    };
    Ok(report::start(wanted, &identity, &deps, about.stopping.clone())?)
}
