//! The node as a `NodeResourceTopology` (noderesourcetopology-api, v1alpha2) for schedulers that know of NUMA nodes: what each has, and how
//! much of it nobody owns. Pure: owns the form.
//!
//! What reclaimed pods may ask for is not in it: a resource that stands in a zone must fit into one zone (NodeResourceTopologyMatch), and
//! reclaimed pods run on all nodes.

use model::NumaNodeId;
use model::cpuset::CpuSet;
use model::ledger::Resident;
use model::qos::{PoolName, QosLevel};
use model::topology::NumaNode;
use serde_json::{Value, json};

use super::cnr::owned;
use super::occupied::part;
use super::pace::Content;
use super::promised::Amounts;
use crate::node_state::NodeState;

const API: &str = "topology.node.k8s.io/v1alpha2";
/// By the names of kubelet's topology manager: who asks for a NUMA node gets one where there is one, for all containers together, and nobody
/// is refused for want of it.
const POLICY: &str = "best-effort";
const SCOPE: &str = "pod";
/// Both in one word, for readers of the first versions.
const POLICIES: [&str; 1] = ["BestEffortPodLevel"];

/// Nothing in it drifts: it changes when a pod with CPUs of its own comes or goes. Nobody follows it here, so it is renewed.
pub(super) fn zones(node: &str, uid: &str, state: &NodeState) -> Content {
    let nodes = state.snapshot.topology.nodes.values();
    let fixed = json!({
        "apiVersion": API,
        "kind": "NodeResourceTopology",
        "metadata": owned(node, uid),
        "topologyPolicies": POLICIES,
        "attributes": [
            { "name": "topologyManagerPolicy", "value": POLICY },
            { "name": "topologyManagerScope", "value": SCOPE },
        ],
        "zones": nodes.map(|node| zone(state, node)).collect::<Vec<_>>(),
    });
    Content {
        fixed,
        amounts: Vec::new(),
        drifting: Vec::new(),
        stamps: Vec::new(),
        is_renewed: true,
    }
}

/// The name that the scheduler's plugin takes the number from.
fn name(node: NumaNodeId) -> String {
    format!("node-{}", node.0)
}

fn zone(state: &NodeState, node: &NumaNode) -> Value {
    let cpus = state.snapshot.topology.cpus_of_node(node.id);
    let cost =
        |(other, distance): (&NumaNodeId, &u32)| json!({ "name": name(*other), "value": distance });
    json!({
        "name": name(node.id),
        "type": "Node",
        "costs": node.distances.iter().map(cost).collect::<Vec<_>>(),
        "resources": resources(state, node, &cpus),
    })
}

/// Of a node without CPUs, or of which the memory is not known, that resource is not told.
fn resources(state: &NodeState, node: &NumaNode, cpus: &CpuSet) -> Vec<Value> {
    let reserve = state.plan.pools.get(PoolName::RESERVE);
    let reserved = reserve.map(|pool| pool.cpus.intersection(cpus)).unwrap_or_default();
    let owned = owned_of(state, node.id, cpus);
    let mut resources = Vec::new();
    if !cpus.is_empty() {
        let capacity = cpus.len() as u64 * 1000;
        let allocatable = capacity - reserved.len() as u64 * 1000;
        let amounts = [capacity, allocatable, allocatable.saturating_sub(owned.milli_cpu)];
        resources.push(resource("cpu", amounts.map(cpu)));
    }
    if let Some(memory) = node.memory {
        let amounts = [memory.0, memory.0, memory.0.saturating_sub(owned.memory)];
        resources.push(resource("memory", amounts.map(|bytes| bytes.to_string())));
    }
    resources
}

fn resource(name: &str, [capacity, allocatable, available]: [String; 3]) -> Value {
    json!({ "name": name, "capacity": capacity, "allocatable": allocatable, "available": available })
}

/// In the form that the apiserver's own quantities have, so that nothing differs when it is read again.
fn cpu(milli: u64) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// Of all pods together. Reclaimed work makes room for whoever comes, so nothing is its own.
fn owned_of(state: &NodeState, node: NumaNodeId, cpus: &CpuSet) -> Amounts {
    let lasting = |resident: &&Resident| resident.ask.level != QosLevel::ReclaimedCores;
    let residents = state.plan.ledger.pods.values().filter(lasting);
    residents.filter_map(|resident| part(resident, node, cpus)).fold(
        Amounts::default(),
        |sum, part| Amounts {
            milli_cpu: sum.milli_cpu.saturating_add(part.milli_cpu),
            memory: sum.memory.saturating_add(part.memory),
        },
    )
}

#[cfg(test)]
mod tests;
