//! A node of Kubernetes is told by the uid of its Node object, and by no other before that is known.

use std::sync::Arc;
use std::time::Duration;

use cluster::node::{NodeHeard, OwnNode};
use kit::nodes::Config;
use proto::v1::NodeIdentity;
use tokio::sync::watch;

use super::reporter::{Agent, identity, quick, start_as, state};
use crate::server::{Choice, Server};

fn object(uid: &str) -> NodeHeard {
    let node = OwnNode { uid: uid.to_owned(), ..OwnNode::default() };
    NodeHeard { node: Some(Arc::new(node)), fault: None }
}

/// An agent that asks for its Node.
fn start(server: &Server) -> (Agent, watch::Sender<NodeHeard>) {
    let (tell, heard) = watch::channel(NodeHeard::default());
    let section = format!("endpoints = [\"http://{}\"]", server.address);
    let unnamed = NodeIdentity { node_uid: String::new(), ..identity() };
    (start_as(&section, &unnamed, Some(heard)), tell)
}

/// Waits until the node is there with this uid and so many workloads.
async fn shown(server: &Server, uid: &str, n_pods: usize) {
    let fits = |node: &Arc<kit::nodes::Node>| {
        node.identity.node_uid == uid && node.state.pods().len() == n_pods
    };
    server.table_with(|table| table.get("c", "n1").is_some_and(fits)).await;
}

const SENT: &str = "berth_agent_reports_sent_total";

#[tokio::test]
async fn nothing_is_reported_before_the_node_is_known() {
    let server = Server::start(quick()).await;
    let (agent, node) = start(&server);
    agent.publish(state(3, 100));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(agent.count(SENT, ""), 0);
    node.send_replace(object("uid-1"));
    agent.publish(state(3, 100));
    shown(&server, "uid-1", 3).await;
}

/// The Node was deleted and registered anew. The server keeps the name for the old one while it may still be alive, as it would for another
/// machine; then it is told everything.
#[tokio::test]
async fn a_node_that_is_made_anew_is_told_in_full_under_its_new_uid() {
    let config = Config { expiry_intervals: 3, ..quick().config };
    let server = Server::start(Choice { config, ..quick() }).await;
    let (agent, node) = start(&server);
    node.send_replace(object("uid-1"));
    agent.publish(state(3, 100));
    shown(&server, "uid-1", 3).await;
    // Gone from the apiserver, and not heard: it is still the one that it was.
    node.send_replace(NodeHeard { node: None, fault: Some("away".to_owned()) });
    agent.publish(state(2, 100));
    shown(&server, "uid-1", 2).await;
    assert_eq!(agent.count(SENT, "kind=\"full\""), 1);
    node.send_replace(object("uid-2"));
    agent.publish(state(2, 100));
    let refused = agent.finding(0, "report-refused").await;
    assert!(refused.message.contains("uid-1"), "{}", refused.message);
    for _ in 0..100 {
        agent.publish(state(2, 100));
        tokio::time::sleep(Duration::from_millis(100)).await;
        if server
            .table
            .borrow()
            .get("c", "n1")
            .is_some_and(|node| node.identity.node_uid == "uid-2")
        {
            break;
        }
    }
    shown(&server, "uid-2", 2).await;
    agent.counts("berth_agent_report_streams_ended_total", "why=\"other_node\"", 1).await;
    agent.is_well(0).await;
}
