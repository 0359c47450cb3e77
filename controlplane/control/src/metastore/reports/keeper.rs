//! Keeps the keys of nodes: one lease for each, kept alive by reports, and a value that is written when the pace says so. Owns what is done
//! in the store; what is written and when is decided by `document` and `pace`.
//!
//! A start takes up the leases it finds, so that a store that is restarted under its agents leaks none and deletes no key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kit::nodes::{Node, NodeTable};
use metastore::index::KeyRange;
use metastore::refusal::Refusal;
use metastore::store::Store;
use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{PutRequest, RequestOp, TxnRequest};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use super::document::{END_OF_PREFIX, Meaning, PREFIX, Pods, document};
use super::metrics::Metrics;
use super::pace::{Pace, Written};

/// Between two looks at the table: so much later than its report a key is written at most.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Writes of one transaction, and grants that wait for the log together.
const AT_ONCE: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) cluster: String,
    pub(super) pace: Pace,
    pub(super) pods: Pods,
    pub(super) most_bytes: usize,
}

/// What is known of one key.
#[derive(Debug, Default)]
struct Kept {
    lease: Option<i64>,
    /// Another lease holds the key, for another time; it goes when the key has the new one.
    outdated: Option<i64>,
    kept_at: Option<Instant>,
    written: Option<Written>,
    /// What the last look found. Of ten looks at a node nine are between two of its reports.
    seen: Option<(Arc<Node>, Meaning)>,
}

impl Kept {
    fn meaning(&mut self, node: &Arc<Node>) -> Meaning {
        if let Some((seen, meaning)) = &self.seen
            && Arc::ptr_eq(seen, node)
        {
            return meaning.clone();
        }
        let meaning = Meaning::of(node);
        self.seen = Some((Arc::clone(node), meaning.clone()));
        meaning
    }
}

pub(super) struct Keeper {
    store: Arc<Store>,
    settings: Settings,
    metrics: Metrics,
    nodes: BTreeMap<String, Kept>,
}

/// A key that is due.
struct Due {
    node: String,
    lease: i64,
    meaning: Meaning,
    value: String,
}

impl Keeper {
    pub(super) fn new(store: Arc<Store>, settings: Settings, metrics: Metrics) -> Keeper {
        let nodes = found(&store, settings.pace.lease_s());
        if !nodes.is_empty() {
            info!(n_nodes = nodes.len(), "Nodes of an earlier start are waited for");
        }
        Keeper { store, settings, metrics, nodes }
    }

    /// Until the store takes no more writes.
    pub(super) async fn run(mut self, table: watch::Receiver<Arc<NodeTable>>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let newest = Arc::clone(&table.borrow());
            match self.look(&newest).await {
                Ok(()) => {}
                Err(refusal @ (Refusal::Stopped | Refusal::TimedOut)) => {
                    return info!(%refusal, "Reports of nodes are written no more");
                }
                // Mostly for want of room: what is due stays due.
                Err(refusal) => warn!(%refusal, "Reports of nodes cannot be written now"),
            }
        }
    }

    async fn look(&mut self, table: &NodeTable) -> Result<(), Refusal> {
        let nodes = table.of_cluster(&self.settings.cluster);
        self.forget(nodes);
        self.keep_alive(nodes)?;
        self.grant(nodes).await?;
        let due = self.due(nodes);
        for some in due.chunks(AT_ONCE) {
            self.write(some).await?;
        }
        Ok(())
    }

    /// Their keys go with their leases. Those of an earlier start that have not come back yet are not in the table either.
    fn forget(&mut self, nodes: &[Arc<Node>]) {
        let there: BTreeSet<&str> = nodes.iter().map(|node| node.identity.node.as_str()).collect();
        self.nodes.retain(|name, kept| kept.kept_at.is_none() || there.contains(name.as_str()));
    }

    fn keep_alive(&mut self, nodes: &[Arc<Node>]) -> Result<(), Refusal> {
        for node in nodes {
            let Some(kept) = self.nodes.get_mut(&node.identity.node) else { continue };
            let Some(lease) = kept.lease else { continue };
            if !Pace::keeps(kept.kept_at, node.reported) {
                continue;
            }
            match self.store.keep_alive(lease) {
                Ok(_) => {
                    kept.kept_at = Some(node.reported);
                    self.metrics.kept_alive();
                }
                // Its time was over, or somebody has revoked it: the key is gone.
                Err(Refusal::LeaseNotFound) => *kept = Kept::default(),
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }

    /// For nodes that have none.
    async fn grant(&mut self, nodes: &[Arc<Node>]) -> Result<(), Refusal> {
        let has = |node: &&Arc<Node>| {
            self.nodes.get(&node.identity.node).is_some_and(|kept| kept.lease.is_some())
        };
        let without: Vec<_> = nodes.iter().filter(|node| !has(node)).map(Arc::clone).collect();
        for some in without.chunks(AT_ONCE) {
            let mut granting = JoinSet::new();
            for node in some {
                let (store, node) = (Arc::clone(&self.store), Arc::clone(node));
                let lease_s = self.settings.pace.lease_s();
                granting.spawn(async move { (node, store.grant(0, lease_s).await) });
            }
            while let Some(granted) = granting.join_next().await {
                let Ok((node, granted)) = granted else { continue };
                let (lease, ..) = granted?;
                let kept = self.nodes.entry(node.identity.node.clone()).or_default();
                (kept.lease, kept.kept_at) = (Some(lease), Some(node.reported));
            }
        }
        Ok(())
    }

    fn due(&mut self, nodes: &[Arc<Node>]) -> Vec<Due> {
        let Settings { pace, pods, most_bytes, .. } = self.settings;
        let now = Instant::now();
        let now_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut due = Vec::new();
        for node in nodes {
            let name = &node.identity.node;
            let Some(kept) = self.nodes.get_mut(name) else { continue };
            let Some(lease) = kept.lease else { continue };
            if !pace.may_write(kept.written.as_ref(), now) {
                continue;
            }
            let meaning = kept.meaning(node);
            if pace.is_due(kept.written.as_ref(), &meaning, now) {
                let came = now_unix.saturating_sub(node.age(now)).as_millis();
                let came = u64::try_from(came).unwrap_or(u64::MAX);
                let value = document(node, came, pods, most_bytes);
                due.push(Due { node: name.clone(), lease, meaning, value });
            }
        }
        due
    }

    async fn write(&mut self, due: &[Due]) -> Result<(), Refusal> {
        match self.store.txn(&puts(due)).await {
            Ok(_) => self.written(due).await,
            // One of the leases ended meanwhile; the others are written all the same.
            Err(Refusal::LeaseNotFound) => {
                for one in due {
                    let alone = std::slice::from_ref(one);
                    match self.store.txn(&puts(alone)).await {
                        Ok(_) => self.written(alone).await?,
                        Err(Refusal::LeaseNotFound) => drop(self.nodes.remove(&one.node)),
                        Err(refusal) => return Err(refusal),
                    }
                }
                Ok(())
            }
            Err(refusal) => Err(refusal),
        }
    }

    async fn written(&mut self, due: &[Due]) -> Result<(), Refusal> {
        let at = Instant::now();
        for one in due {
            self.metrics.wrote(one.value.len());
            let Some(kept) = self.nodes.get_mut(&one.node) else { continue };
            kept.written = Some(Written { meaning: one.meaning.clone(), at });
            let Some(outdated) = kept.outdated.take() else { continue };
            match self.store.revoke(outdated).await {
                Ok(_) | Err(Refusal::LeaseNotFound) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }
}

/// What an earlier start has left: leases that go on, where they last as long as those of this one.
fn found(store: &Store, lease_s: i64) -> BTreeMap<String, Kept> {
    let committed = store.committed();
    let mut nodes = BTreeMap::new();
    let below = KeyRange::of_request(PREFIX.into(), END_OF_PREFIX.into());
    for (key, version) in committed.view().range(&below) {
        let name = key.strip_prefix(PREFIX.as_bytes()).map(<[u8]>::to_vec);
        let Some(Ok(name)) = name.map(String::from_utf8) else { continue };
        let known = store.lease(version.lease).ok().flatten();
        let kept = match known {
            Some(known) if known.granted_s == lease_s => {
                Kept { lease: Some(version.lease), ..Kept::default() }
            }
            Some(_) => Kept { outdated: Some(version.lease), ..Kept::default() },
            // A person wrote it, and it has no end; a report takes its place.
            None => continue,
        };
        nodes.insert(name, kept);
    }
    nodes
}

fn puts(due: &[Due]) -> TxnRequest {
    let put = |one: &Due| {
        let put = PutRequest {
            key: Bytes::from(format!("{PREFIX}{}", one.node)),
            value: Bytes::from(one.value.clone()),
            lease: one.lease,
            ..PutRequest::default()
        };
        RequestOp { request: Some(Request::RequestPut(put)) }
    };
    TxnRequest { success: due.iter().map(put).collect(), ..TxnRequest::default() }
}

#[cfg(test)]
mod tests;
