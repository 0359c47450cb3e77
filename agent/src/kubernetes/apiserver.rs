//! The thread that talks to the apiserver, for as long as the agent lives: it follows this node's pods and its Node, and tells what `report`
//! makes. An apiserver that is away changes nothing on the node but what is known of it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cluster::node::NodeHeard;
use cluster::pods::PodsHeard;
use cluster::{Client, connect};
use model::plan::{Finding, Severity};
use tokio::sync::watch;
use tokio::time::sleep;
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
    pub told: watch::Receiver<Arc<Vec<Finding>>>,
}

impl Cluster {
    /// Nobody is asked: nothing is heard, ever.
    pub fn none() -> Cluster {
        Cluster {
            pods: watch::channel(PodsHeard::default()).1,
            told: watch::channel(Arc::default()).1,
        }
    }

    /// Starts it.
    pub fn start(
        config: &ApiserverConfig,
        state: watch::Receiver<Option<Arc<NodeState>>>,
    ) -> io::Result<Cluster> {
        let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (pods, pods_seen) = watch::channel(PodsHeard::default());
        let (told, told_seen) = watch::channel(Arc::default());
        let config = config.clone();
        let thread = thread::Builder::new().name("berth-apiserver".to_owned());
        thread.spawn(move || match reactor.block_on(talk(&config, state, &pods, &told)) {})?;
        Ok(Cluster { pods: pods_seen, told: told_seen })
    }
}

async fn talk(
    config: &ApiserverConfig,
    state: watch::Receiver<Option<Arc<NodeState>>>,
    pods: &watch::Sender<PodsHeard>,
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
    let (node, node_seen) = watch::channel(NodeHeard::default());
    let heard = Heard { state, pods: pods.subscribe(), node: node_seen };
    let all = async {
        tokio::join!(
            cluster::pods::follow(client.clone(), &config.node, pods),
            cluster::node::follow(client.clone(), &config.node, &node),
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
