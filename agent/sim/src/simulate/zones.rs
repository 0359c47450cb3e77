//! `show: [zones]`: the machine as the tree of zones that Katalyst's CustomNodeResource carries
//! (`status.topologyZone`): Socket -> Numa -> L3CacheGroup. Owns its form; who holds what is the
//! ledger's.
//!
//! Pods without NUMA binding occupy no zone, except for CPUs that are theirs alone. A last-level
//! cache is a zone where a NUMA node has several.

use std::collections::{BTreeMap, BTreeSet};

use advisor::hint::PlacementInput;
use advisor::layout::Layout;
use model::headroom::NodeHeadroom;
use model::ledger::{Place, Resident};
use model::qos::QosLevel;
use model::topology::{Cpu, NumaNode};
use model::{Bytes, CpuSet, LlcId, NumaNodeId, NumaSet, SocketId, Topology, annotation, quantity};
use serde::Serialize;
use serde_json::Value as Json;

/// Nodes no farther than this are siblings; Katalyst leaves it to a flag. Sub-NUMA clusters of one socket
/// are 11 or 12 away, another socket 20 and more.
const SIBLING_DISTANCE: u32 = 19;

/// Names and quantities, as Kubernetes writes them.
type Resources = BTreeMap<&'static str, String>;

#[derive(Debug, Serialize)]
struct Zone {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    /// A socket has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<ZoneResources>,
    attributes: Vec<Attribute>,
    allocations: Vec<Allocation>,
    siblings: Vec<Sibling>,
    children: Vec<Zone>,
}

#[derive(Debug, Serialize)]
struct ZoneResources {
    allocatable: Resources,
    capacity: Resources,
}

#[derive(Debug, Serialize)]
struct Attribute {
    name: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct Allocation {
    /// `namespace/name/uid`.
    consumer: String,
    requests: Resources,
}

#[derive(Debug, Serialize)]
struct Sibling {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    attributes: Vec<Attribute>,
}

/// What a tree is made from.
pub(super) struct Seen<'a> {
    pub(super) topology: &'a Topology,
    pub(super) input: &'a PlacementInput<'a>,
    /// What reclaimed work is promised; a node without a part is not listed.
    pub(super) headroom: BTreeMap<NumaNodeId, NodeHeadroom>,
}

pub(super) fn show(seen: &Seen<'_>) -> Json {
    let sockets = seen.topology.sockets();
    let zones: Vec<Zone> = sockets.iter().map(|id| seen.socket(*id)).collect();
    serde_json::to_value(zones).expect("invariant: texts and lists are JSON")
}

impl Seen<'_> {
    fn layout(&self) -> &Layout {
        self.input.layout
    }

    fn socket(&self, id: SocketId) -> Zone {
        let here = |node: &&NumaNode| self.socket_of(node) == Some(id);
        Zone {
            kind: "Socket",
            name: id.to_string(),
            resources: None,
            attributes: Vec::new(),
            allocations: Vec::new(),
            siblings: Vec::new(),
            children: self
                .topology
                .nodes
                .values()
                .filter(here)
                .map(|node| self.numa(node))
                .collect(),
        }
    }

    /// A node without CPUs belongs to the socket of the nearest one that has some.
    fn socket_of(&self, node: &NumaNode) -> Option<SocketId> {
        let on = |id: NumaNodeId| self.topology.cpus.values().find(|cpu| cpu.node == id);
        let by_distance = |(id, far): (&NumaNodeId, &u32)| Some((*far, *id, on(*id)?.socket));
        let nearest = || node.distances.iter().filter_map(by_distance).min();
        on(node.id).map(|cpu| cpu.socket).or_else(|| nearest().map(|(_, _, socket)| socket))
    }

    fn numa(&self, node: &NumaNode) -> Zone {
        let siblings = node.distances.iter().filter(|(id, far)| {
            **id != node.id && **far <= SIBLING_DISTANCE && self.topology.nodes.contains_key(*id)
        });
        let siblings: Vec<(&NumaNodeId, &u32)> = siblings.collect();
        let distances: Vec<String> = siblings.iter().map(|(_, far)| far.to_string()).collect();
        let sibling = |(id, _): &(&NumaNodeId, &u32)| Sibling {
            kind: "Numa",
            name: id.to_string(),
            attributes: Vec::new(),
        };
        let online = self.topology.cpus_of_node(node.id);
        Zone {
            kind: "Numa",
            name: node.id.to_string(),
            resources: Some(self.numa_resources(node, &online)),
            attributes: self.attributes(&online, distances.join(",")),
            allocations: self.allocations(|one| self.on_node(one, node)),
            siblings: siblings.iter().map(sibling).collect(),
            children: self.caches(node.id),
        }
    }

    fn attributes(&self, online: &CpuSet, distances: String) -> Vec<Attribute> {
        let mut attributes = vec![Attribute { name: "numa_distance", value: distances }];
        let reserved = online.intersection(&self.layout().reserve);
        for (name, value) in [
            ("reserved_cpu_list", reserved.to_string()),
            ("thread_topology_info", self.threads(online)),
        ] {
            if !value.is_empty() {
                attributes.push(Attribute { name, value });
            }
        }
        attributes
    }

    /// `cpu:sibling` of each thread that has one.
    fn threads(&self, online: &CpuSet) -> String {
        let mut pairs = Vec::new();
        for cores in &self.layout().cores {
            for cpu in cores.threads.iter().filter(|cpu| online.contains(**cpu)) {
                let others = cores.threads.iter().filter(|other| *other != cpu);
                pairs.extend(others.map(|other| (*cpu, *other)));
            }
        }
        pairs.sort_unstable();
        let pairs = pairs.iter().map(|(cpu, other)| format!("{cpu}:{other}"));
        pairs.collect::<Vec<_>>().join(",")
    }

    fn numa_resources(&self, node: &NumaNode, online: &CpuSet) -> ZoneResources {
        let mut resources = self.cpu_resources(online);
        let mut both = |name, amount: Option<String>| {
            if let Some(amount) = amount {
                resources.allocatable.insert(name, amount.clone());
                resources.capacity.insert(name, amount);
            }
        };
        both("memory", node.memory.map(quantity::show_memory));
        let left = self.headroom.get(&node.id).copied().unwrap_or_default();
        let name = annotation::resource::RECLAIMED_MILLICPU;
        both(name, left.cpu.map(|cpu| quantity::show_count(cpu.0)));
        both(annotation::resource::RECLAIMED_MEMORY, left.memory.map(quantity::show_memory));
        resources
    }

    fn cpu_resources(&self, online: &CpuSet) -> ZoneResources {
        let usable = online.intersection(&self.layout().usable);
        let count = |cpus: &CpuSet| Resources::from([("cpu", cpus.len().to_string())]);
        ZoneResources { allocatable: count(&usable), capacity: count(online) }
    }

    fn allocations(&self, of: impl Fn(&Resident) -> Resources) -> Vec<Allocation> {
        let one = |resident: &Resident| {
            let requests = of(resident);
            let consumer = format!("{}/{}", resident.ask.name, resident.ask.uid);
            (!requests.is_empty()).then_some(Allocation { consumer, requests })
        };
        self.input.ledger.pods.values().filter_map(one).collect()
    }

    /// What a pod occupies of a node.
    fn on_node(&self, one: &Resident, node: &NumaNode) -> Resources {
        let (cpu, memory, level) = (one.ask.cpu, one.ask.memory, one.ask.level);
        let mut requests = Resources::new();
        match one.place {
            Place::Own { cpus, nodes } => {
                let here = cpus.intersection(&node.cpus).len();
                if here > 0 {
                    requests.insert("cpu", here.to_string());
                }
                let memory = own_memory(one, node, nodes);
                insert_memory(&mut requests, "memory", memory);
            }
            Place::Node(id) if id == node.id && level == QosLevel::ReclaimedCores => {
                let name = annotation::resource::RECLAIMED_MILLICPU;
                requests.insert(name, quantity::show_count(cpu.0));
                insert_memory(&mut requests, annotation::resource::RECLAIMED_MEMORY, memory);
            }
            Place::Node(id) if id == node.id => {
                requests.insert("cpu", quantity::show_cpu(cpu));
                insert_memory(&mut requests, "memory", memory);
            }
            Place::Node(_) | Place::Pool | Place::Anywhere => {}
        }
        requests
    }

    fn caches(&self, node: NumaNodeId) -> Vec<Zone> {
        let here: Vec<&Cpu> = self.topology.cpus.values().filter(|cpu| cpu.node == node).collect();
        let ids: BTreeSet<LlcId> = here.iter().filter_map(|cpu| cpu.llc).collect();
        if ids.len() < 2 {
            return Vec::new();
        }
        let group = |id: &LlcId| {
            let cpus = here.iter().filter(|cpu| cpu.online && cpu.llc == Some(*id));
            self.cache(*id, cpus.map(|cpu| cpu.id).collect())
        };
        ids.iter().map(group).collect()
    }

    fn cache(&self, id: LlcId, online: CpuSet) -> Zone {
        let owned = |one: &Resident| match one.place {
            Place::Own { cpus, .. } if !cpus.is_disjoint(&online) => {
                Resources::from([("cpu", cpus.intersection(&online).len().to_string())])
            }
            _ => Resources::new(),
        };
        Zone {
            kind: "L3CacheGroup",
            name: id.to_string(),
            resources: Some(self.cpu_resources(&online)),
            attributes: vec![Attribute { name: "cpu_lists", value: online.to_string() }],
            allocations: self.allocations(owned),
            siblings: Vec::new(),
            children: Vec::new(),
        }
    }
}

fn insert_memory(requests: &mut Resources, name: &'static str, memory: Bytes) {
    if memory.0 > 0 {
        requests.insert(name, quantity::show_memory(memory));
    }
}

/// Of an owner: the whole node if it is exclusive, else an equal part of the request.
fn own_memory(one: &Resident, node: &NumaNode, nodes: NumaSet) -> Bytes {
    if !nodes.contains(node.id) {
        return Bytes(0);
    }
    match node.memory {
        Some(all) if one.ask.wish.numa_exclusive => all,
        _ => {
            let n_nodes = nodes.len().max(1) as u64;
            let is_first = nodes.iter().next() == Some(node.id);
            let rest = if is_first { one.ask.memory.0 % n_nodes } else { 0 };
            Bytes(one.ask.memory.0 / n_nodes + rest)
        }
    }
}
