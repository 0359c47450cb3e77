//! The Node object of this node, followed for as long as the agent lives. Owns the watch and which of its fields count.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::watching;

/// What the apiserver told of this node.
#[derive(Clone, Debug, Default)]
pub struct NodeHeard {
    /// As of the last word when there is a fault. `None`: no word yet, or no such object.
    pub node: Option<Arc<OwnNode>>,
    /// One sentence, while the apiserver is not heard.
    pub fault: Option<String>,
}

/// What the node is in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnNode {
    /// Another one is another Node of the same name.
    pub uid: String,
    /// Quantities by resource name, as they are written there.
    pub capacity: BTreeMap<String, String>,
    pub allocatable: BTreeMap<String, String>,
}

/// Keeps `tell` at what the apiserver says of `name`, for as long as it is polled.
pub async fn follow(client: Client, name: &str, tell: &watch::Sender<NodeHeard>) -> Infallible {
    let nodes: Api<Node> = Api::all(client);
    loop {
        let stream = watcher::watch_object(nodes.clone(), name).default_backoff();
        let mut stream = std::pin::pin!(stream);
        while let Some(told) = stream.next().await {
            match told {
                Ok(node) => hear(tell, node.as_ref().map(read)),
                Err(error) => tell.send_modify(|heard| heard.fault = Some(watching::fault(&error))),
            }
        }
    }
}

/// Heartbeats change the object every few minutes, and nothing that counts here.
fn hear(tell: &watch::Sender<NodeHeard>, node: Option<OwnNode>) {
    tell.send_if_modified(|heard| {
        let same = heard.fault.is_none() && heard.node.as_deref() == node.as_ref();
        if !same {
            *heard = NodeHeard { node: node.map(Arc::new), fault: None };
        }
        !same
    });
}

fn read(node: &Node) -> OwnNode {
    let status = node.status.clone().unwrap_or_default();
    let texts = |list: Option<BTreeMap<_, _>>| {
        let texts = list.into_iter().flatten();
        texts
            .map(
                |(key, value): (
                    String,
                    k8s_openapi::apimachinery::pkg::api::resource::Quantity,
                )| (key, value.0),
            )
            .collect()
    };
    OwnNode {
        uid: node.metadata.uid.clone().unwrap_or_default(),
        capacity: texts(status.capacity),
        allocatable: texts(status.allocatable),
    }
}
