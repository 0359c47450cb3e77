//! What stands under a node's key: its newest report as JSON. Pure. Owns the shape (docs/metastore.md, section Node reports), its bound,
//! and which differences are worth a write.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use kit::nodes::Node;
use proto::v1::{Finding, Mode, NodeAmount, PodReport, Pool, SignalState};
use serde::Serialize;

/// Below it is one key for each node.
pub(super) const PREFIX: &str = "/berth/nodes/";
/// The first key behind them.
pub(super) const END_OF_PREFIX: &str = "/berth/nodes0";

/// Of the shape. A field that is added leaves it as it is.
const SCHEMA: u32 = 1;
/// Texts of a report have no bound but that of the whole.
const MOST_FINDINGS: usize = 32;
const MOST_POOLS: usize = 64;
const MOST_NUMA_NODES: usize = 64;

/// Part of the capacity by which headroom or usage has to move before it is worth a write by itself.
const MOVED_PARTS: u64 = 20;
/// Capacity where none is told.
const ONE_CPU: u64 = 1000;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    cluster: &'a str,
    node: &'a str,
    node_uid: &'a str,
    boot_id: &'a str,
    agent_start_id: &'a str,
    sequence: u64,
    reported_unix_ms: u64,
    behind: Option<String>,
    mode: Option<String>,
    signal: Option<String>,
    agent_rss_bytes: Option<u64>,
    agent_cpu_ratio: Option<f64>,
    capacity: Option<NodeAmount>,
    headroom: Option<NodeAmount>,
    usage_milli_cpu: Option<u64>,
    pools: &'a [Pool],
    n_findings: usize,
    findings: &'a [Finding],
    n_pods: usize,
    n_suppressed: usize,
    pods_by_qos: BTreeMap<&'a str, usize>,
    /// Last, because it is filled until the bound is reached.
    pods: [(); 0],
}

/// Whether pods stand in it one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pods {
    Counted,
    Listed,
}

/// How many of what there is no bound of.
#[derive(Clone, Copy)]
struct Room {
    n_findings: usize,
    n_pools: usize,
    n_numa_nodes: usize,
}

/// What a person needs first stays longest; the counts say that something is left out.
const ROOMS: [Room; 3] = [
    Room { n_findings: MOST_FINDINGS, n_pools: MOST_POOLS, n_numa_nodes: MOST_NUMA_NODES },
    Room { n_findings: 0, n_pools: MOST_POOLS, n_numa_nodes: MOST_NUMA_NODES },
    Room { n_findings: 0, n_pools: 0, n_numa_nodes: 0 },
];

/// Whatever a node reports, so much is enough for the rest: five names of 253 bytes, each of them escaped.
pub(super) const LEAST_BYTES: usize = 16 << 10;

/// The value of the key, of at most `most_bytes`, which are not fewer than [`LEAST_BYTES`]. `reported_unix_ms` is when the report came.
pub(super) fn document(
    node: &Node,
    reported_unix_ms: u64,
    pods: Pods,
    most_bytes: usize,
) -> String {
    let mut text = String::new();
    for room in ROOMS {
        text = head(node, reported_unix_ms, room);
        if text.len() <= most_bytes {
            break;
        }
    }
    match pods {
        Pods::Counted => text,
        Pods::Listed => with_pods(text, node.state.pods().iter().map(AsRef::as_ref), most_bytes),
    }
}

fn pools(node: &Node, most: usize) -> &[Pool] {
    let pools = node.state.pools.as_ref().map_or(&[][..], |told| &told.pools);
    &pools[..pools.len().min(most)]
}

fn findings(node: &Node, most: usize) -> &[Finding] {
    let findings = node.state.health.as_ref().map_or(&[][..], |told| &told.findings);
    &findings[..findings.len().min(most)]
}

fn amount(told: Option<&Arc<NodeAmount>>, most_numa_nodes: usize) -> Option<NodeAmount> {
    let told = told?;
    let numa_nodes = told.numa_nodes.iter().take(most_numa_nodes).copied().collect();
    Some(NodeAmount { numa_nodes, ..**told })
}

fn head(node: &Node, reported_unix_ms: u64, room: Room) -> String {
    let (identity, state) = (&node.identity, &node.state);
    let health = state.health.as_deref();
    let agent = health.and_then(|health| health.agent.as_ref());
    let signal = health.and_then(|health| health.signal.as_ref());
    let mut pods_by_qos = BTreeMap::new();
    for pod in state.pods() {
        *pods_by_qos.entry(level(&pod.qos)).or_default() += 1;
    }
    let document = Document {
        schema: SCHEMA,
        cluster: &identity.cluster,
        node: &identity.node,
        node_uid: &identity.node_uid,
        boot_id: &identity.boot_id,
        agent_start_id: &identity.agent_start_id,
        sequence: node.sequence,
        reported_unix_ms,
        behind: node.behind.map(|reason| short(reason.as_str_name(), "FULL_REASON_")),
        mode: health.map(|health| mode(health.mode)),
        signal: signal.map(|signal| signal_state(signal.state)),
        agent_rss_bytes: agent.and_then(|agent| agent.rss_bytes),
        agent_cpu_ratio: agent.and_then(|agent| agent.cpu_ratio),
        capacity: amount(state.capacity.as_ref(), room.n_numa_nodes),
        headroom: amount(state.headroom.as_ref(), room.n_numa_nodes),
        usage_milli_cpu: usage(node),
        pools: pools(node, room.n_pools),
        n_findings: health.map_or(0, |health| health.findings.len()),
        findings: findings(node, room.n_findings),
        n_pods: state.pods().len(),
        n_suppressed: state.pods().iter().filter(|pod| pod.suppressed).count(),
        pods_by_qos,
        pods: [],
    };
    // Names and numbers only: there is nothing in it that JSON could not hold.
    serde_json::to_string(&document).unwrap_or_default()
}

/// Agents choose the words; a hostile one must not make one entry for each pod.
fn level(qos: &str) -> &str {
    match qos {
        "dedicated_cores" | "shared_cores" | "reclaimed_cores" | "system_cores" => qos,
        _ => "other",
    }
}

fn with_pods<'a>(
    mut text: String,
    pods: impl Iterator<Item = &'a PodReport>,
    most_bytes: usize,
) -> String {
    const END: &str = "]}";
    if text.len() > most_bytes {
        return text;
    }
    text.truncate(text.len() - END.len());
    let mut separator = "";
    for pod in pods {
        let pod = serde_json::to_string(pod).unwrap_or_default();
        if text.len() + separator.len() + pod.len() + END.len() > most_bytes {
            break;
        }
        text += separator;
        text += &pod;
        separator = ",";
    }
    text + END
}

fn short(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase()
}

fn mode(number: i32) -> String {
    Mode::try_from(number)
        .map_or_else(|_unknown| number.to_string(), |mode| short(mode.as_str_name(), "MODE_"))
}

fn signal_state(number: i32) -> String {
    let name = |state: SignalState| short(state.as_str_name(), "SIGNAL_STATE_");
    SignalState::try_from(number).map_or_else(|_unknown| number.to_string(), name)
}

/// Of all pods together; `None` where none of them is known.
fn usage(node: &Node) -> Option<u64> {
    let known = node.state.pods().iter().filter_map(|pod| pod.usage_milli_cpu);
    known.fold(None, |sum: Option<u64>, one| Some(sum.unwrap_or(0).saturating_add(one)))
}

/// What of a report a watcher would want to hear of soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    /// Of everything that is a state and no measurement.
    states: u64,
    headroom_milli: Option<u64>,
    usage_milli: Option<u64>,
    step_milli: u64,
}

impl Meaning {
    pub(super) fn of(node: &Node) -> Meaning {
        let state = &node.state;
        let capacity = state.capacity.as_ref().and_then(|capacity| capacity.milli_cpu);
        Meaning {
            states: states(node),
            headroom_milli: state.headroom.as_ref().and_then(|headroom| headroom.milli_cpu),
            usage_milli: usage(node),
            step_milli: (capacity.unwrap_or(ONE_CPU) / MOVED_PARTS).max(1),
        }
    }

    pub(super) fn differs_from(&self, written: &Meaning) -> bool {
        let moved = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => one.abs_diff(other) >= self.step_milli,
            (one, other) => one != other,
        };
        self.states != written.states
            || moved(self.headroom_milli, written.headroom_milli)
            || moved(self.usage_milli, written.usage_milli)
    }
}

fn states(node: &Node) -> u64 {
    // With fixed keys: the same report has the same number.
    let mut hasher = DefaultHasher::new();
    let (identity, state) = (&node.identity, &node.state);
    (&identity.node_uid, &identity.boot_id, &identity.agent_start_id).hash(&mut hasher);
    node.behind.map(i32::from).hash(&mut hasher);
    let capacity = state.capacity.as_ref();
    capacity.map(|capacity| (capacity.milli_cpu, capacity.memory_bytes)).hash(&mut hasher);
    for pool in pools(node, MOST_POOLS) {
        (&pool.name, &pool.cpus).hash(&mut hasher);
    }
    if let Some(health) = &state.health {
        (health.mode, health.signal.as_ref().map(|signal| signal.state)).hash(&mut hasher);
    }
    for finding in findings(node, MOST_FINDINGS) {
        (finding.severity, &finding.rule, &finding.subject).hash(&mut hasher);
    }
    for pod in state.pods() {
        (&pod.uid, &pod.qos, &pod.pool, pod.suppressed).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
