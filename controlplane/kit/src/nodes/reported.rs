//! The state of one node, kept in parts that states share: a delta costs what it changes. Pure. Owns what a full report
//! and a delta make of it, and its bounds.

use std::sync::Arc;

use prost::Message;
use proto::v1::{NodeAmount, NodeDelta, NodeHealth, NodePools, NodeState, PodReport};

use super::limits::{Limits, Refusal, name};

/// All that a node reports of itself. `None` is not known.
#[derive(Clone, Debug, Default)]
pub struct ReportedState {
    pub capacity: Option<Arc<NodeAmount>>,
    pub headroom: Option<Arc<NodeAmount>>,
    pub pools: Option<Arc<NodePools>>,
    pub health: Option<Arc<NodeHealth>>,
    pods: Arc<Vec<Arc<PodReport>>>,
    pods_bytes: usize,
}

/// Why a delta made no state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DeltaFault {
    /// It was made from another state than this one.
    OtherBase,
    Refused(Refusal),
}

impl ReportedState {
    /// By uid.
    pub fn pods(&self) -> &[Arc<PodReport>] {
        &self.pods
    }

    pub fn pod(&self, uid: &str) -> Option<&Arc<PodReport>> {
        self.pods.get(self.place_of(uid).ok()?)
    }

    /// As it would be encoded, apart from some bytes of framing.
    pub(super) fn n_bytes(&self) -> usize {
        encoded(self.capacity.as_ref())
            + encoded(self.headroom.as_ref())
            + encoded(self.pools.as_ref())
            + encoded(self.health.as_ref())
            + self.pods_bytes
    }

    pub(super) fn from_full(full: NodeState, sequence: u64) -> Result<ReportedState, Refusal> {
        let pods = sorted(full.pods, sequence)?;
        Ok(ReportedState {
            capacity: full.capacity.map(Arc::new),
            headroom: full.headroom.map(Arc::new),
            pools: full.pools.map(Arc::new),
            health: full.health.map(Arc::new),
            pods_bytes: pods.iter().map(|pod| pod.encoded_len()).sum(),
            pods: Arc::new(pods),
        })
    }

    /// This state with what `delta` changes.
    pub(super) fn with(
        &self,
        delta: NodeDelta,
        sequence: u64,
    ) -> Result<ReportedState, DeltaFault> {
        let changed = sorted(delta.pods, sequence).map_err(DeltaFault::Refused)?;
        let mut state = self.clone();
        state.remove(&delta.removed_pods, &changed, sequence)?;
        state.put(changed);
        replace(&mut state.capacity, delta.capacity);
        replace(&mut state.headroom, delta.headroom);
        replace(&mut state.pools, delta.pools);
        replace(&mut state.health, delta.health);
        Ok(state)
    }

    fn remove(
        &mut self,
        uids: &[String],
        changed: &[Arc<PodReport>],
        sequence: u64,
    ) -> Result<(), DeltaFault> {
        for uid in uids {
            if place(changed, uid).is_ok() {
                let uid = uid.clone();
                return Err(DeltaFault::Refused(Refusal::RemovedPod { uid, sequence }));
            }
            let Ok(at) = self.place_of(uid) else { return Err(DeltaFault::OtherBase) };
            self.pods_bytes -= self.pods[at].encoded_len();
            Arc::make_mut(&mut self.pods).remove(at);
        }
        Ok(())
    }

    fn put(&mut self, changed: Vec<Arc<PodReport>>) {
        if changed.is_empty() {
            return;
        }
        let pods = Arc::make_mut(&mut self.pods);
        for pod in changed {
            self.pods_bytes += pod.encoded_len();
            match place(pods, &pod.uid) {
                Ok(at) => {
                    self.pods_bytes -= pods[at].encoded_len();
                    pods[at] = pod;
                }
                Err(at) => pods.insert(at, pod),
            }
        }
    }

    fn place_of(&self, uid: &str) -> Result<usize, usize> {
        place(&self.pods, uid)
    }

    /// Whether so much may be kept of one node.
    pub(super) fn check(&self, node: &str, limits: &Limits) -> Result<(), Refusal> {
        let (n_pods, n_bytes) = (self.pods.len(), self.n_bytes());
        if n_pods > limits.max_pods_per_node {
            let limit = limits.max_pods_per_node;
            return Err(Refusal::ManyPods { node: node.to_owned(), n_pods, limit });
        }
        if n_bytes > limits.max_report_bytes {
            let limit = limits.max_report_bytes;
            return Err(Refusal::NodeBytes { node: node.to_owned(), n_bytes, limit });
        }
        Ok(())
    }
}

fn place(pods: &[Arc<PodReport>], uid: &str) -> Result<usize, usize> {
    pods.binary_search_by(|pod| pod.uid.as_str().cmp(uid))
}

/// By uid, each once.
fn sorted(mut pods: Vec<PodReport>, sequence: u64) -> Result<Vec<Arc<PodReport>>, Refusal> {
    for pod in &pods {
        name("pod uid", &pod.uid)?;
    }
    pods.sort_unstable_by(|a, b| a.uid.cmp(&b.uid));
    match pods.windows(2).find(|pair| pair[0].uid == pair[1].uid) {
        Some(pair) => Err(Refusal::TwicePod { uid: pair[0].uid.clone(), sequence }),
        None => Ok(pods.into_iter().map(Arc::new).collect()),
    }
}

fn replace<T>(kept: &mut Option<Arc<T>>, told: Option<T>) {
    if let Some(told) = told {
        *kept = Some(Arc::new(told));
    }
}

fn encoded<T: Message>(part: Option<&Arc<T>>) -> usize {
    part.map_or(0, |part| part.encoded_len())
}
