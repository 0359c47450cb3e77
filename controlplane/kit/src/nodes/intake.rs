//! The intake of reports as a state machine: identity, report and time in, an answer out. Pure: reads no clock, performs
//! no I/O. Owns which report is in force, who may report under a name, and when a node is forgotten.
//!
//! One agent start is a boot and a start id; its reports are counted. Within a boot the clock of the kernel says which
//! start is the newer one. Of two boots the one that came later is: those of a node that were left are remembered, so a
//! late report of an old boot is refused. Age counts from the last report in force, never from one that was ignored.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use proto::v1::{
    Decision, FullReason, NodeDelta, NodeIdentity, NodeReport, NodeState, node_report,
};

use super::limits::{self, Limits, Refusal, Rival};
use super::reported::{DeltaFault, ReportedState};
use super::table::{Node, NodeTable};

/// Late reports come from the boot before, hardly ever from one before that.
const REMEMBERED_BOOTS: usize = 8;
/// A node makes a few in an interval; whoever wants all of them asks the node.
const KEPT_DECISIONS: usize = 64;
/// They come in addition to the state.
const KEPT_DECISIONS_BYTES: usize = 32 << 10;

/// What is to be said to a report that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted {
        acknowledged: u64,
    },
    /// It was in force already.
    Repeated {
        acknowledged: u64,
    },
    FullWanted {
        acknowledged: u64,
        reason: FullReason,
    },
}

/// Everything known of all nodes.
#[derive(Debug)]
pub struct Intake {
    limits: Limits,
    expiry: Duration,
    clusters: BTreeMap<String, BTreeMap<String, Entry>>,
    n_nodes: usize,
    n_bytes: usize,
    is_changed: bool,
}

#[derive(Debug)]
struct Entry {
    node: Arc<Node>,
    left_boots: VecDeque<String>,
}

/// How an agent start relates to what is known under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unknown,
    SameStart { sequence: u64 },
    NewStart,
}

impl Intake {
    pub fn new(limits: Limits, expiry: Duration) -> Intake {
        let clusters = BTreeMap::new();
        Intake { limits, expiry, clusters, n_nodes: 0, n_bytes: 0, is_changed: false }
    }

    /// Takes a report that came at `now`.
    pub fn take(
        &mut self,
        identity: &Arc<NodeIdentity>,
        mut report: NodeReport,
        now: Instant,
    ) -> Result<Answer, Refusal> {
        limits::check(identity, &report)?;
        let standing = self.standing(identity, now)?;
        if let Standing::SameStart { sequence } = standing
            && report.sequence <= sequence
        {
            return Ok(Answer::Repeated { acknowledged: sequence });
        }
        match report.content.take() {
            Some(node_report::Content::Full(full)) => {
                self.take_full(standing, identity, report, full, now)
            }
            Some(node_report::Content::Delta(delta)) => {
                self.take_delta(standing, identity, report, delta, now)
            }
            None => Err(Refusal::NoContent { sequence: report.sequence }),
        }
    }

    /// Forgets who was silent for too long; returns how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        let before = self.n_nodes;
        let (n_nodes, n_bytes, expiry) = (&mut self.n_nodes, &mut self.n_bytes, self.expiry);
        self.clusters.retain(|_, nodes| {
            nodes.retain(|_, entry| {
                let is_living = entry.node.age(now) < expiry;
                if !is_living {
                    *n_nodes -= 1;
                    *n_bytes -= entry.node.state.n_bytes();
                }
                is_living
            });
            !nodes.is_empty()
        });
        self.is_changed |= self.n_nodes != before;
        before - self.n_nodes
    }

    pub fn table(&self) -> NodeTable {
        let mut nodes = Vec::with_capacity(self.n_nodes);
        for entries in self.clusters.values() {
            nodes.extend(entries.values().map(|entry| Arc::clone(&entry.node)));
        }
        NodeTable::new(nodes)
    }

    /// The table, when it is another one than the last time.
    pub fn changed_table(&mut self) -> Option<NodeTable> {
        std::mem::take(&mut self.is_changed).then(|| self.table())
    }

    pub const fn n_nodes(&self) -> usize {
        self.n_nodes
    }

    /// Of all states, as encoded.
    pub const fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    fn entry(&self, identity: &NodeIdentity) -> Option<&Entry> {
        self.clusters.get(&identity.cluster)?.get(&identity.node)
    }

    fn entry_mut(&mut self, identity: &NodeIdentity) -> Option<&mut Entry> {
        self.clusters.get_mut(&identity.cluster)?.get_mut(&identity.node)
    }

    fn standing(&self, identity: &NodeIdentity, now: Instant) -> Result<Standing, Refusal> {
        let Some(entry) = self.entry(identity) else { return Ok(Standing::Unknown) };
        let (node, silence) = (&entry.node, entry.node.age(now));
        let known = &node.identity;
        if silence >= self.expiry {
            return Ok(Standing::Unknown);
        }
        let rival = |known: &str, told: &str| {
            Box::new(Rival {
                cluster: identity.cluster.clone(),
                node: identity.node.clone(),
                known: known.to_owned(),
                told: told.to_owned(),
            })
        };
        if known.node_uid != identity.node_uid {
            let of = rival(&known.node_uid, &identity.node_uid);
            return Err(Refusal::OtherMachine { of, silence, expiry: self.expiry });
        }
        if known.agent_start_id == identity.agent_start_id && known.boot_id == identity.boot_id {
            return Ok(Standing::SameStart { sequence: node.sequence });
        }
        if entry.is_newer(identity) {
            return Ok(Standing::NewStart);
        }
        let of = rival(&known.agent_start_id, &identity.agent_start_id);
        Err(Refusal::Superseded { of, silence })
    }

    fn take_full(
        &mut self,
        standing: Standing,
        identity: &Arc<NodeIdentity>,
        report: NodeReport,
        full: NodeState,
        now: Instant,
    ) -> Result<Answer, Refusal> {
        let state = ReportedState::from_full(full, report.sequence)?;
        state.check(&identity.node, &self.limits)?;
        self.check_table(identity, &state)?;
        let known = self.entry(identity).filter(|_| standing != Standing::Unknown);
        let (decisions, n_lost) = match (standing, known) {
            (Standing::SameStart { .. }, Some(known)) => {
                (Arc::clone(&known.node.decisions), known.node.n_lost_decisions)
            }
            _ => (Arc::default(), 0),
        };
        let node = Node {
            identity: Arc::clone(identity),
            sequence: report.sequence,
            reported: now,
            now_mono_ns: report.now_mono_ns,
            behind: None,
            state,
            decisions: with_newest(decisions, report.decisions),
            n_lost_decisions: n_lost.saturating_add(report.n_lost_decisions),
        };
        let left_boots = known.map(|known| known.left_boots_for(identity)).unwrap_or_default();
        self.put(Entry { node: Arc::new(node), left_boots });
        Ok(Answer::Accepted { acknowledged: report.sequence })
    }

    fn take_delta(
        &mut self,
        standing: Standing,
        identity: &Arc<NodeIdentity>,
        report: NodeReport,
        delta: NodeDelta,
        now: Instant,
    ) -> Result<Answer, Refusal> {
        let reason = match standing {
            Standing::Unknown => FullReason::UnknownNode,
            Standing::NewStart => FullReason::NewStart,
            Standing::SameStart { sequence } if report.sequence - sequence > 1 => FullReason::Gap,
            Standing::SameStart { .. } => match self.apply(identity, report, delta, now) {
                Ok(acknowledged) => return Ok(Answer::Accepted { acknowledged }),
                Err(DeltaFault::Refused(refusal)) => return Err(refusal),
                Err(DeltaFault::OtherBase) => FullReason::OtherBase,
            },
        };
        let acknowledged = match standing {
            Standing::SameStart { sequence } => sequence,
            Standing::Unknown | Standing::NewStart => 0,
        };
        if standing != Standing::Unknown {
            self.mark_behind(identity, reason);
        }
        Ok(Answer::FullWanted { acknowledged, reason })
    }

    /// A delta to the report in force.
    fn apply(
        &mut self,
        identity: &NodeIdentity,
        report: NodeReport,
        delta: NodeDelta,
        now: Instant,
    ) -> Result<u64, DeltaFault> {
        let Some(entry) = self.entry(identity) else { return Err(DeltaFault::OtherBase) };
        let state = entry.node.state.with(delta, report.sequence)?;
        state.check(&identity.node, &self.limits).map_err(DeltaFault::Refused)?;
        self.check_table(identity, &state).map_err(DeltaFault::Refused)?;
        let before = &entry.node;
        let node = Node {
            identity: Arc::clone(&before.identity),
            sequence: report.sequence,
            reported: now,
            now_mono_ns: report.now_mono_ns,
            behind: None,
            state,
            decisions: with_newest(Arc::clone(&before.decisions), report.decisions),
            n_lost_decisions: before.n_lost_decisions.saturating_add(report.n_lost_decisions),
        };
        let left_boots = entry.left_boots.clone();
        self.put(Entry { node: Arc::new(node), left_boots });
        Ok(report.sequence)
    }

    /// The last known state stays, and says so.
    fn mark_behind(&mut self, identity: &NodeIdentity, reason: FullReason) {
        let Some(entry) = self.entry_mut(identity) else { return };
        if entry.node.behind != Some(reason) {
            Arc::make_mut(&mut entry.node).behind = Some(reason);
            self.is_changed = true;
        }
    }

    /// Whether there is room for this state among the others.
    fn check_table(&self, identity: &NodeIdentity, state: &ReportedState) -> Result<(), Refusal> {
        let known = self.entry(identity);
        let limits = &self.limits;
        if known.is_none() && self.n_nodes >= limits.max_nodes {
            return Err(Refusal::ManyNodes {
                node: identity.node.clone(),
                n_nodes: self.n_nodes + 1,
                limit: limits.max_nodes,
            });
        }
        let freed = known.map_or(0, |known| known.node.state.n_bytes());
        let n_bytes = self.n_bytes - freed + state.n_bytes();
        if n_bytes > limits.max_table_bytes {
            return Err(Refusal::TableBytes {
                node: identity.node.clone(),
                n_bytes,
                limit: limits.max_table_bytes,
            });
        }
        Ok(())
    }

    /// In place of what is known under its name.
    fn put(&mut self, entry: Entry) {
        let identity = Arc::clone(&entry.node.identity);
        self.n_bytes += entry.node.state.n_bytes();
        self.is_changed = true;
        if let Some(known) = self.entry_mut(&identity) {
            let freed = std::mem::replace(known, entry).node.state.n_bytes();
            self.n_bytes -= freed;
            return;
        }
        self.n_nodes += 1;
        let nodes = self.clusters.entry(identity.cluster.clone()).or_default();
        nodes.insert(identity.node.clone(), entry);
    }
}

impl Entry {
    /// Of another start of the same machine: did it come after the known one?
    fn is_newer(&self, identity: &NodeIdentity) -> bool {
        let known = &self.node.identity;
        if known.boot_id == identity.boot_id {
            identity.agent_started_mono_ns > known.agent_started_mono_ns
        } else {
            !self.left_boots.contains(&identity.boot_id)
        }
    }

    /// What is to be remembered when `next` takes the place of this start.
    fn left_boots_for(&self, next: &NodeIdentity) -> VecDeque<String> {
        let mut left = self.left_boots.clone();
        if self.node.identity.boot_id != next.boot_id {
            if left.len() == REMEMBERED_BOOTS {
                left.pop_front();
            }
            left.push_back(self.node.identity.boot_id.clone());
        }
        left
    }
}

/// `kept` with those of `told` that are newer, within the bounds.
fn with_newest(
    mut kept: Arc<VecDeque<Arc<Decision>>>,
    told: Vec<Decision>,
) -> Arc<VecDeque<Arc<Decision>>> {
    let newest = kept.back().map_or(0, |decision| decision.sequence);
    let mut newer: Vec<Decision> =
        told.into_iter().filter(|decision| decision.sequence > newest).collect();
    if newer.is_empty() {
        return kept;
    }
    newer.sort_by_key(|decision| decision.sequence);
    newer.dedup_by_key(|decision| decision.sequence);
    let decisions = Arc::make_mut(&mut kept);
    decisions.extend(newer.into_iter().map(Arc::new));
    let mut n_bytes: usize = decisions.iter().map(|decision| decision.encoded_len()).sum();
    while decisions.len() > KEPT_DECISIONS || n_bytes > KEPT_DECISIONS_BYTES {
        let Some(oldest) = decisions.pop_front() else { break };
        n_bytes -= oldest.encoded_len();
    }
    kept
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
