//! The node as a `CustomNodeResource` of Katalyst (katalyst-api, node/v1alpha1): what reclaimed work may take, and the tree of sockets and
//! NUMA nodes with who owns what there. Pure: owns the form.

use std::collections::BTreeMap;

use model::cpuset::CpuSet;
use model::ledger::Resident;
use model::pod::Declared;
use model::qos::{PoolName, QosLevel, WorkloadName};
use model::snapshot::{Signal, WorkloadView};
use model::topology::{NumaNode, Topology};
use model::{NumaNodeId, SocketId};
use serde_json::{Map, Value, json};

use super::capacity::{placed, resources};
use super::occupied::part;
use super::pace::Content;
use super::promised::Promised;
use crate::node_state::NodeState;

const API: &str = "node.katalyst.kubewharf.io/v1alpha1";
const USAGE: &str = "/status/nodeMetricStatus/nodeMetric";
const GROUPS: &str = "/status/nodeMetricStatus/groupMetric";

/// Owner and properties. It goes with its Node.
pub(super) fn main(node: &str, uid: &str, state: &NodeState) -> Content {
    let topology = &state.snapshot.topology;
    let property = |name: &str, quantity: u64| json!({ "propertyName": name, "propertyQuantity": quantity.to_string() });
    let memory: u64 =
        topology.nodes.values().filter_map(|one| one.memory).map(|bytes| bytes.0).sum();
    let fixed = json!({
        "apiVersion": API,
        "kind": "CustomNodeResource",
        "metadata": owned(node, uid),
        "spec": { "nodeResourceProperties": [
            property("numa", topology.nodes.len() as u64),
            property("cpu", topology.n_online() as u64),
            property("memory", memory),
        ] },
    });
    Content {
        fixed,
        amounts: Vec::new(),
        drifting: Vec::new(),
        stamps: Vec::new(),
        is_renewed: false,
    }
}

/// Metadata of an object that goes with its Node.
pub(super) fn owned(node: &str, uid: &str) -> Value {
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": node, "uid": uid });
    json!({ "name": node, "ownerReferences": [owner] })
}

/// What changes. `now` is the time of day (RFC 3339), `placed_since` that of the last change of whether everybody has a place.
pub(super) fn status(
    node: &str,
    state: &NodeState,
    promised: &Promised,
    declared: &Declared,
    (now, placed_since): (&str, &str),
) -> Content {
    let uids: BTreeMap<&WorkloadName, &str> =
        declared.iter().map(|(uid, one)| (&one.pod.name, uid.as_str())).collect();
    let whole = promised.whole();
    let of_node = whole.map_or_else(|| json!({}), resources);
    let fixed = json!({
        "apiVersion": API,
        "kind": "CustomNodeResource",
        "metadata": { "name": node },
        "status": {
            "resources": { "capacity": of_node, "allocatable": of_node },
            "topologyPolicy": "None",
            "topologyZone": sockets(state, promised, &uids),
            "conditions": [ready(state), placed("PodsPlaced", (&state.findings, placed_since))],
            "nodeMetricStatus": { "updateTime": null, "nodeMetric": null, "groupMetric": null },
        },
    });
    let amounts = whole.map(|whole| vec![whole.milli_cpu, whole.memory]).unwrap_or_default();
    Content {
        fixed: without_amounts(fixed.clone()),
        amounts,
        drifting: vec![
            ("/status/resources", fixed.pointer("/status/resources").cloned().unwrap_or_default()),
            (
                "/status/topologyZone",
                fixed.pointer("/status/topologyZone").cloned().unwrap_or_default(),
            ),
            (USAGE, usage(state)),
            (GROUPS, Value::Array(groups(state, declared))),
        ],
        stamps: vec![
            ("/status/nodeMetricStatus/updateTime", json!(now)),
            ("/status/conditions/0/lastHeartbeatTime", json!(now)),
        ],
        is_renewed: true,
    }
}

/// Promises drift; who owns what does not.
fn without_amounts(mut object: Value) -> Value {
    if let Some(resources) = object.pointer_mut("/status/resources") {
        *resources = Value::Null;
    }
    let zones = object.pointer_mut("/status/topologyZone").and_then(Value::as_array_mut);
    let numa =
        zones.into_iter().flatten().filter_map(|zone| zone.get_mut("children")?.as_array_mut());
    for zone in numa.flatten() {
        if let Some(zone) = zone.as_object_mut() {
            zone.remove("resources");
        }
    }
    object
}

fn ready(state: &NodeState) -> Value {
    let (reason, message) = match &state.snapshot.signal {
        Signal::Good => ("AgentReady", "run-queue waits are measured".to_owned()),
        Signal::Degraded { why } => ("SignalDegraded", why.clone()),
        Signal::PressureOnly { why } => ("PressureOnly", why.clone()),
        Signal::None { why } => ("NoSignal", why.clone()),
    };
    json!({
        "type": "AgentReady", "status": "True", "reason": reason, "message": message,
        "lastHeartbeatTime": null,
    })
}

fn sockets(
    state: &NodeState,
    promised: &Promised,
    uids: &BTreeMap<&WorkloadName, &str>,
) -> Vec<Value> {
    let topology = &state.snapshot.topology;
    let mut sockets: BTreeMap<SocketId, Vec<Value>> = BTreeMap::new();
    for node in topology.nodes.values() {
        let cpus = topology.cpus_of_node(node.id);
        // Memory without CPUs (CXL) is nearest to the first socket that has any.
        let first = cpus.first().and_then(|cpu| topology.cpus.get(&cpu)).map(|cpu| cpu.socket);
        let socket = first.or_else(|| topology.sockets().first().copied()).unwrap_or_default();
        sockets.entry(socket).or_default().push(numa(state, node, &cpus, promised, uids));
    }
    let zone = |(socket, children): (SocketId, Vec<Value>)| json!({ "type": "Socket", "name": socket.0.to_string(), "children": children });
    sockets.into_iter().map(zone).collect()
}

fn numa(
    state: &NodeState,
    node: &NumaNode,
    cpus: &CpuSet,
    promised: &Promised,
    uids: &BTreeMap<&WorkloadName, &str>,
) -> Value {
    let topology = &state.snapshot.topology;
    let reserve = state.plan.pools.get(PoolName::RESERVE);
    let reserved = reserve.map(|pool| pool.cpus.intersection(cpus)).unwrap_or_default();
    let mut capacity = amounts(cpus.len() as u64, node.memory.map(|memory| memory.0));
    let mut allocatable =
        amounts((cpus.len() - reserved.len()) as u64, node.memory.map(|memory| memory.0));
    if let Some(Value::Object(part)) = promised.of(node.id).map(resources) {
        capacity.extend(part.clone());
        allocatable.extend(part);
    }
    let distances: Vec<String> = node.distances.values().map(u32::to_string).collect();
    json!({
        "type": "Numa",
        "name": node.id.0.to_string(),
        "resources": { "capacity": capacity, "allocatable": allocatable },
        "attributes": [
            { "name": "numa_distance", "value": distances.join(",") },
            { "name": "reserved_cpu_list", "value": reserved.to_string() },
        ],
        "allocations": allocations(state, node.id, cpus, uids),
        "children": caches(topology, cpus),
    })
}

fn amounts(n_cpus: u64, memory: Option<u64>) -> Map<String, Value> {
    let mut amounts = Map::from_iter([("cpu".to_owned(), json!(n_cpus.to_string()))]);
    amounts.extend(memory.map(|memory| ("memory".to_owned(), json!(memory.to_string()))));
    amounts
}

/// Groups of CPUs with a cache of their own, where a NUMA node has several.
fn caches(topology: &Topology, cpus: &CpuSet) -> Vec<Value> {
    let mut caches: BTreeMap<_, CpuSet> = BTreeMap::new();
    for cpu in cpus.iter() {
        if let Some(llc) = topology.cpus.get(&cpu).and_then(|cpu| cpu.llc) {
            caches.entry(llc).or_default().insert(cpu);
        }
    }
    if caches.len() < 2 {
        return Vec::new();
    }
    let zone = |(llc, cpus): (model::LlcId, CpuSet)| {
        let cpu = json!({ "cpu": cpus.len().to_string() });
        json!({
            "type": "L3CacheGroup", "name": llc.0.to_string(),
            "resources": { "capacity": cpu, "allocatable": cpu },
            "attributes": [{ "name": "cpu_lists", "value": cpus.to_string() }],
        })
    };
    caches.into_iter().map(zone).collect()
}

/// Pods with CPUs or a NUMA node of their own; whoever shares occupies no zone.
fn allocations(
    state: &NodeState,
    node: NumaNodeId,
    cpus: &CpuSet,
    uids: &BTreeMap<&WorkloadName, &str>,
) -> Vec<Value> {
    let residents = state.plan.ledger.pods.values();
    let allocation = |resident: &Resident| {
        let ask = &resident.ask;
        let part = part(resident, node, cpus)?;
        let cpu = json!(format!("{}m", part.milli_cpu));
        let mut requests = Map::from_iter([("cpu".to_owned(), cpu)]);
        if part.memory > 0 {
            requests.insert("memory".to_owned(), json!(part.memory.to_string()));
        }
        // Without a uid it is no pod.
        let consumer = format!("{}/{}", ask.name, uids.get(&ask.name)?);
        Some(json!({ "consumer": consumer, "requests": requests }))
    };
    residents.filter_map(allocation).collect()
}

fn usage(state: &NodeState) -> Value {
    let snapshot = &state.snapshot;
    let node = |(id, memory): (&NumaNodeId, &model::measured::NodeMemory)| {
        let cpus = snapshot.topology.cpus_of_node(*id);
        let busy: f64 = cpus.iter().filter_map(|cpu| snapshot.host.cpu_busy_ratio.get(&cpu)).sum();
        let used = memory.total.0.saturating_sub(memory.free.0);
        json!({ "numaId": id.0, "usage": { "cpu": milli(busy), "memory": used.to_string() } })
    };
    let per_node: Vec<Value> = snapshot.host.memory.iter().map(node).collect();
    let busy: f64 = snapshot.host.cpu_busy_ratio.values().sum();
    let memory = snapshot.host.memory_total.zip(snapshot.host.memory_available);
    let memory = memory.map(|(total, available)| total.0.saturating_sub(available.0).to_string());
    json!({ "numaUsage": per_node, "genericUsage": { "cpu": milli(busy), "memory": memory } })
}

fn milli(cpus: f64) -> String {
    format!("{}m", (cpus * 1000.0).round() as u64)
}

/// Usage and pods of each QoS level.
fn groups(state: &NodeState, declared: &Declared) -> Vec<Value> {
    let names: std::collections::BTreeSet<&WorkloadName> =
        declared.values().map(|one| &one.pod.name).collect();
    let group = |level: QosLevel| {
        let of_level = |(name, view): &(&WorkloadName, &WorkloadView)| {
            view.spec.qos == level && names.contains(name)
        };
        let pods: Vec<_> = state.snapshot.workloads.iter().filter(of_level).collect();
        let cpu: u64 = pods.iter().filter_map(|(_, view)| view.usage).map(|cpu| cpu.0).sum();
        let memory: u64 =
            pods.iter().filter_map(|(_, view)| view.memory_current).map(|bytes| bytes.0).sum();
        let list: Vec<String> = pods.iter().map(|(name, _)| name.to_string()).collect();
        (!list.is_empty()).then(|| {
            json!({
                "QoSLevel": level.to_string(),
                "genericUsage": { "cpu": format!("{cpu}m"), "memory": memory.to_string() },
                "podList": list,
            })
        })
    };
    QosLevel::ALL.into_iter().filter_map(group).collect()
}
