//! What is published: all nodes at one time. Owns how they are looked up.
//!
//! A table is a sorted list of pointers, and nodes are shared between the tables that hold them: another table of 20,000
//! nodes takes 3 ms, whatever the nodes hold. Lists of eight nodes that tables share would take 1.3 ms when 800 nodes have
//! changed; at five tables a second that is one percent of a CPU, and not worth a second level.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::v1::{Decision, FullReason, NodeIdentity};

use super::reported::ReportedState;

/// The newest known state of every node, by cluster and name.
#[derive(Clone, Debug, Default)]
pub struct NodeTable {
    nodes: Vec<Arc<Node>>,
}

/// One node as its newest report in force says.
#[derive(Clone, Debug)]
pub struct Node {
    pub identity: Arc<NodeIdentity>,
    /// Of the newest report in force.
    pub sequence: u64,
    /// When that report came.
    pub reported: Instant,
    /// The node's clock in that report, for the times in `decisions`.
    pub now_mono_ns: u64,
    /// Set while later reports came that could not be used: the state is the last known one, and not the agent's own.
    pub behind: Option<FullReason>,
    pub state: ReportedState,
    /// The newest ones of this agent start, oldest first.
    pub decisions: Arc<VecDeque<Arc<Decision>>>,
    /// Those that the agent says it could not send.
    pub n_lost_decisions: u64,
}

impl Node {
    /// How old the state is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.reported)
    }

    fn name(&self) -> (&str, &str) {
        (&self.identity.cluster, &self.identity.node)
    }
}

impl NodeTable {
    /// `nodes` come by cluster and name.
    pub(super) fn new(nodes: Vec<Arc<Node>>) -> NodeTable {
        NodeTable { nodes }
    }

    pub fn get(&self, cluster: &str, node: &str) -> Option<&Arc<Node>> {
        let found = self.nodes.binary_search_by(|it| it.name().cmp(&(cluster, node)));
        self.nodes.get(found.ok()?)
    }

    /// By cluster and name.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Node>> {
        self.nodes.iter()
    }

    /// The nodes of one cluster, by name.
    pub fn of_cluster(&self, cluster: &str) -> &[Arc<Node>] {
        let begin = self.nodes.partition_point(|it| it.identity.cluster.as_str() < cluster);
        let end = self.nodes.partition_point(|it| it.identity.cluster.as_str() <= cluster);
        &self.nodes[begin..end]
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl<'a> IntoIterator for &'a NodeTable {
    type Item = &'a Arc<Node>;
    type IntoIter = std::slice::Iter<'a, Arc<Node>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
