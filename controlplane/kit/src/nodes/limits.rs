//! The bounds of an intake and everything it may refuse. Pure. A refusal names what was sent and what is allowed.

use std::time::Duration;

use proto::v1::{NodeIdentity, NodeReport};

/// Bounds of what reports may make this process hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_nodes: usize,
    pub max_pods_per_node: usize,
    /// Of one message, and of all that is kept of one node: it must fit into a full report.
    pub max_report_bytes: usize,
    /// Of all nodes together, as encoded. In memory it is six times as much: 20,000 nodes of 30 pods are 86 MiB encoded and
    /// take 500.
    pub max_table_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // The largest clusters have 15,000.
            max_nodes: 20_000,
            // The kubelet's default is 110; the largest nodes run 500.
            max_pods_per_node: 512,
            // 512 pods with long names take 200 KiB.
            max_report_bytes: 512 << 10,
            // 20,000 nodes of 110 pods take 320 MiB.
            max_table_bytes: 512 << 20,
        }
    }
}

/// Kubernetes allows no longer name of an object.
const MAX_NAME_BYTES: usize = 253;

/// Why a report was not taken. Its stream ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{field} is empty")]
    Empty { field: &'static str },
    #[error("{field} has {n_bytes} bytes, at most {MAX_NAME_BYTES} are allowed")]
    Long { field: &'static str, n_bytes: usize },
    #[error("sequence is 0, reports are counted from 1")]
    SequenceZero,
    #[error("report {sequence} is neither full nor a delta")]
    NoContent { sequence: u64 },
    #[error("pod {uid:?} is told twice in report {sequence}")]
    TwicePod { uid: String, sequence: u64 },
    #[error("pod {uid:?} is both told and removed in report {sequence}")]
    RemovedPod { uid: String, sequence: u64 },
    #[error("{n_pods} pods on node {node}, at most {limit} are taken")]
    ManyPods { node: String, n_pods: usize, limit: usize },
    #[error("the state of node {node} has {n_bytes} bytes, at most {limit} are kept")]
    NodeBytes { node: String, n_bytes: usize, limit: usize },
    #[error("node {node} would be node {n_nodes}, at most {limit} are kept")]
    ManyNodes { node: String, n_nodes: usize, limit: usize },
    #[error("with node {node} all states have {n_bytes} bytes, at most {limit} are kept")]
    TableBytes { node: String, n_bytes: usize, limit: usize },
    #[error(
        "node {node} of cluster {cluster} is reported by machine {known}, last {}; machine {told} \
         may have the name when that one was silent for {}",
        ago(*.silence), seconds(*.expiry), node = .of.node, cluster = .of.cluster,
        known = .of.known, told = .of.told
    )]
    OtherMachine { of: Box<Rival>, silence: Duration, expiry: Duration },
    #[error(
        "agent start {told} of node {node} of cluster {cluster} was followed by {known}, which \
         reported last {}", ago(*.silence), told = .of.told, node = .of.node,
        cluster = .of.cluster, known = .of.known
    )]
    Superseded { of: Box<Rival>, silence: Duration },
}

/// Two that report under one name: their node uids, or the ids of two agent starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    pub cluster: String,
    pub node: String,
    /// Who has the name.
    pub known: String,
    pub told: String,
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn ago(duration: Duration) -> String {
    format!("{} ago", seconds(duration))
}

/// What can be said of a report without knowing the node.
pub(super) fn check(identity: &NodeIdentity, report: &NodeReport) -> Result<(), Refusal> {
    let fields = [
        ("cluster", &identity.cluster),
        ("node", &identity.node),
        ("node_uid", &identity.node_uid),
        ("boot_id", &identity.boot_id),
        ("agent_start_id", &identity.agent_start_id),
    ];
    for (field, value) in fields {
        name(field, value)?;
    }
    match report {
        NodeReport { sequence: 0, .. } => Err(Refusal::SequenceZero),
        NodeReport { content: None, sequence, .. } => {
            Err(Refusal::NoContent { sequence: *sequence })
        }
        _ => Ok(()),
    }
}

/// For everything that is looked up.
pub(super) fn name(field: &'static str, value: &str) -> Result<(), Refusal> {
    match value.len() {
        0 => Err(Refusal::Empty { field }),
        n_bytes if n_bytes > MAX_NAME_BYTES => Err(Refusal::Long { field, n_bytes }),
        _ => Ok(()),
    }
}
