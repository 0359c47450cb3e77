//! The thread that talks to the apiserver, for as long as the agent lives: it follows this node's pods and its Node, tells what `report`
//! makes, and takes its promise back at the end. An apiserver that is away changes nothing on the node but what is known of it. With the same
//! account it asks the kubelet for its configuration.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cluster::configz::{self, ConfigHeard};
use cluster::node::NodeHeard;
use cluster::pods::PodsHeard;
use cluster::{Client, connect};
use model::plan::{Finding, Severity};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::report::{self, Heard};
use crate::config::ApiserverConfig;
use crate::node_state::NodeState;

/// A kubeconfig that is not there or not whole is waited for.
const CONNECT_EVERY: Duration = Duration::from_secs(10);

/// What others hold of the conversation.
#[derive(Debug)]
pub struct Cluster {
    pub pods: watch::Receiver<PodsHeard>,
    /// `None`: nobody asks for the Node.
    pub node: Option<watch::Receiver<NodeHeard>>,
    pub kubelet: watch::Receiver<ConfigHeard>,
    pub told: watch::Receiver<Arc<Vec<Finding>>>,
    /// Ends a few seconds after the agent is told to stop.
    pub thread: Option<JoinHandle<()>>,
}

/// For the last word. Longer than an apiserver needs, shorter than what a kubelet allows for the rest of the way out.
const FAREWELL: Duration = Duration::from_secs(5);

impl Cluster {
    /// Nobody is asked: nothing is heard, ever.
    pub fn none() -> Cluster {
        Cluster {
            pods: watch::channel(PodsHeard::default()).1,
            node: None,
            kubelet: watch::channel(unasked()).1,
            told: watch::channel(Arc::default()).1,
            thread: None,
        }
    }

    /// Starts it.
    pub fn start(
        config: &ApiserverConfig,
        state: watch::Receiver<Option<Arc<NodeState>>>,
        mut stopping: watch::Receiver<bool>,
    ) -> io::Result<Cluster> {
        let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (pods, pods_seen) = watch::channel(PodsHeard::default());
        let (told, told_seen) = watch::channel(Arc::default());
        let config = config.clone();
        let thread = thread::Builder::new().name("berth-apiserver".to_owned());
        let (node, node_seen) = watch::channel(NodeHeard::default());
        let (kubelet, kubelet_seen) = watch::channel(match &config.configz {
            Some(_) => ConfigHeard::default(),
            None => unasked(),
        });
        let own_node = node_seen.clone();
        let talk = async move {
            tokio::select! {
                // An agent that is gone without a word stops as well.
                _ = stopping.wait_for(|stopping| *stopping) => {}
                never = talk(&config, state, (&pods, &node), &told) => match never {},
                never = ask_kubelet(&config, &kubelet) => match never {},
            }
            let left = report::Left::by(&config, &node_seen.borrow());
            if timeout(FAREWELL, report::withdraw(&config, left)).await.is_err() {
                warn!("The apiserver does not hear that the agent stops");
            }
        };
        let thread = thread.spawn(move || reactor.block_on(talk))?;
        Ok(Cluster {
            pods: pods_seen,
            node: Some(own_node),
            kubelet: kubelet_seen,
            told: told_seen,
            thread: Some(thread),
        })
    }
}

async fn ask_kubelet(config: &ApiserverConfig, tell: &watch::Sender<ConfigHeard>) -> Infallible {
    match &config.configz {
        Some(configz) => configz::follow(configz, tell).await,
        None => std::future::pending().await,
    }
}

fn unasked() -> ConfigHeard {
    let why = "nobody asks it (kubernetes.configz, and $HOST_IP for \"auto\")";
    ConfigHeard { config: None, fault: Some(why.to_owned()) }
}

async fn talk(
    config: &ApiserverConfig,
    state: watch::Receiver<Option<Arc<NodeState>>>,
    (pods, node): (&watch::Sender<PodsHeard>, &watch::Sender<NodeHeard>),
    told: &watch::Sender<Arc<Vec<Finding>>>,
) -> Infallible {
    let tell = |findings: Vec<Finding>| {
        told.send_if_modified(|told| {
            let changed = **told != findings;
            if changed {
                *told = Arc::new(findings);
            }
            changed
        });
    };
    let client = client(config, tell).await;
    let heard = Heard { state, pods: pods.subscribe(), node: node.subscribe() };
    let all = async {
        tokio::join!(
            cluster::pods::follow(client.clone(), &config.node, pods),
            cluster::node::follow(client.clone(), &config.node, node),
            report::run(client.clone(), config, heard, tell),
        )
    };
    all.await.0
}

async fn client(config: &ApiserverConfig, tell: impl Fn(Vec<Finding>)) -> Client {
    loop {
        match connect(&config.access).await {
            Ok(client) => return client,
            Err(error) => {
                let error = kit::chain(&error).to_string();
                warn!(%error, "The apiserver is not asked");
                tell(vec![not_asked(&error)]);
            }
        }
        sleep(CONNECT_EVERY).await;
    }
}

fn not_asked(error: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "apiserver-not-heard",
        subject: "node".to_owned(),
        message: format!("pods are known from the container runtime only: {error}"),
    }
}
