//! From what sysfs says to a `Topology`. The rules for machines that contradict themselves are
//! hwloc's, because its answers for the recorded machines are our oracle: a NUMA node whose CPUs
//! another node has already is not believed, threads with different core ids are different cores,
//! a machine without node directories is one node 0.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use model::cpuset::MAX_CPUS;
use model::topology::{Cpu, NumaNode};
use model::{CoreId, CpuId, CpuSet, LlcId, NumaNodeId, SocketId, Topology};

use crate::error::ReadError;
use crate::root::HostRoot;
use crate::sysfs::raw::{self, RawCpu, RawMachine, RawNode};

/// The machine could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    #[error("{path} lists no CPU")]
    NoCpus { path: PathBuf },
    #[error("CPU {cpu} is beyond the {MAX_CPUS} CPUs that Berth can manage")]
    TooManyCpus { cpu: CpuId },
    #[error("a file of the machine's topology could not be read")]
    Unreadable(#[source] ReadError),
}

/// Something a machine says about itself that was not taken at its word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// No NUMA node directories: the machine is taken for one node.
    NoNodes,
    /// The node claims CPUs that a lower node has; it is left out.
    OverlappingNode { node: NumaNodeId },
    /// CPUs whose node is offline; they form a node without memory.
    OfflineNode { node: NumaNodeId, cpus: CpuSet },
    /// CPUs that no node claims; they were given to `node`.
    Homeless { node: NumaNodeId, cpus: CpuSet },
    /// The distance row does not fit the nodes.
    Distances { node: NumaNodeId },
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quirk::NoNodes => f.write_str("the kernel shows no NUMA nodes, one is assumed"),
            Quirk::OverlappingNode { node } => {
                write!(f, "NUMA node {node} claims CPUs of another node and is ignored")
            }
            Quirk::OfflineNode { node, cpus } => {
                write!(f, "CPUs {cpus} are on NUMA node {node}, which is offline")
            }
            Quirk::Homeless { node, cpus } => {
                write!(f, "CPUs {cpus} are on no NUMA node, {node} is assumed")
            }
            Quirk::Distances { node } => {
                write!(f, "the distances of NUMA node {node} do not fit the nodes")
            }
        }
    }
}

/// A machine and what was odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    pub topology: Topology,
    pub quirks: Vec<Quirk>,
}

/// Reads the machine's shape.
pub fn read_topology(host: &HostRoot) -> Result<Topology, TopologyError> {
    survey(host).map(|survey| survey.topology)
}

/// Reads the machine's shape and tells what was not believed.
pub fn survey(host: &HostRoot) -> Result<Survey, TopologyError> {
    let machine = raw::read(host).map_err(TopologyError::Unreadable)?;
    let path = host.sys().join("devices/system/cpu");
    if machine.cpus.is_empty() && machine.online.is_none() {
        return Err(TopologyError::NoCpus { path });
    }
    if let Some(cpu) = machine.cpus.keys().find(|cpu| usize::from(cpu.0) >= MAX_CPUS) {
        return Err(TopologyError::TooManyCpus { cpu: *cpu });
    }
    let survey = assemble(&machine);
    match survey.topology.online().is_empty() {
        true => Err(TopologyError::NoCpus { path }),
        false => Ok(survey),
    }
}

/// The rules. Pure.
fn assemble(machine: &RawMachine) -> Survey {
    let online = online_cpus(machine);
    let known: CpuSet = machine.cpus.keys().copied().collect();
    let present = machine.present.unwrap_or(known).union(&online);
    let mut quirks = Vec::new();
    let homes = Homes::settle(machine, &online, &mut quirks);
    let mut cpus = BTreeMap::new();
    for id in present.iter() {
        let raw = machine.cpus.get(&id).cloned().unwrap_or_default();
        let has_place = raw.package.is_some() || raw.core_siblings.is_some();
        if online.contains(id) || has_place {
            cpus.insert(id, place(machine, &online, id, &raw, homes.of(id, &raw)));
        }
    }
    let nodes = nodes(machine, &homes, &cpus, &mut quirks);
    let offline = present.difference(&online);
    let efficiency = efficiency_cpus(machine).intersection(&present);
    Survey { topology: Topology { cpus, nodes, offline, efficiency }, quirks }
}

/// Efficiency cores run at most this part, in percent, of the fastest core's frequency; favoured
/// cores of one kind differ by a few percent only (an i9-12900 has 5.0 and 3.9 GHz: 78).
const EFFICIENCY_PCT: u64 = 85;

/// The kernel's list of them, else the cores that are much slower than the fastest.
fn efficiency_cpus(machine: &RawMachine) -> CpuSet {
    let by_speed = || {
        let fastest = machine.cpus.values().filter_map(|cpu| cpu.max_khz).max().unwrap_or(0);
        let is_slow = |khz: u64| khz.saturating_mul(100) < fastest.saturating_mul(EFFICIENCY_PCT);
        let slow = machine.cpus.iter().filter(|(_, cpu)| cpu.max_khz.is_some_and(is_slow));
        slow.map(|(id, _)| *id).collect()
    };
    machine.efficiency.unwrap_or_else(by_speed)
}

/// The kernel's list, else each CPU's own word: a CPU without an `online` file cannot be taken
/// offline.
fn online_cpus(machine: &RawMachine) -> CpuSet {
    let own_word = || {
        let on = |(id, cpu): (&CpuId, &RawCpu)| cpu.online.unwrap_or(true).then_some(*id);
        machine.cpus.iter().filter_map(on).collect()
    };
    machine.online.unwrap_or_else(own_word)
}

fn place(machine: &RawMachine, online: &CpuSet, id: CpuId, raw: &RawCpu, node: NumaNodeId) -> Cpu {
    let is_online = online.contains(id);
    let lowest = |set: Option<CpuSet>| {
        set.map(|set| set.intersection(online)).and_then(|set| set.first()).unwrap_or(id).min(id)
    };
    let same_core =
        |other: &CpuId| machine.cpus.get(other).is_none_or(|other| other.core_id == raw.core_id);
    let threads = raw.core_siblings.map(|set| set.iter().filter(same_core).collect());
    let socket = raw.package.and_then(|package| u16::try_from(package).ok());
    Cpu {
        id,
        online: is_online,
        core: CoreId(if is_online { lowest(threads).0 } else { id.0 }),
        // Firmware that numbers no package (-1) or numbers it wildly still tells who shares it.
        socket: SocketId(socket.unwrap_or_else(|| {
            raw.package_siblings.map_or(0, |siblings| lowest(Some(siblings)).0)
        })),
        node,
        llc: raw.llc.map(|shared| LlcId(lowest(Some(shared)).0)),
    }
}

/// Which NUMA node each CPU is on.
struct Homes {
    believed: BTreeMap<NumaNodeId, CpuSet>,
    /// Where a CPU goes that nothing is known of.
    fallback: NumaNodeId,
}

impl Homes {
    fn settle(machine: &RawMachine, online: &CpuSet, quirks: &mut Vec<Quirk>) -> Homes {
        let mut homes = Homes { believed: BTreeMap::new(), fallback: NumaNodeId(0) };
        let mut claimed = CpuSet::EMPTY;
        for (id, node) in &machine.nodes {
            let cpus = node.cpus.intersection(online);
            if !cpus.is_disjoint(&claimed) {
                quirks.push(Quirk::OverlappingNode { node: *id });
                continue;
            }
            claimed = claimed.union(&cpus);
            homes.believed.insert(*id, cpus);
        }
        match homes.believed.keys().next() {
            Some(first) => homes.fallback = *first,
            None => quirks.push(Quirk::NoNodes),
        }
        homes.house_the_rest(machine, &online.difference(&claimed), quirks);
        homes
    }

    /// CPUs that no node directory claims go where their own link points, else to the fallback.
    fn house_the_rest(&mut self, machine: &RawMachine, rest: &CpuSet, quirks: &mut Vec<Quirk>) {
        let mut offline_nodes: BTreeMap<NumaNodeId, CpuSet> = BTreeMap::new();
        let mut homeless = CpuSet::EMPTY;
        for cpu in rest.iter() {
            match machine.cpus.get(&cpu).and_then(|raw| raw.node) {
                Some(node) if !machine.nodes.contains_key(&node) => {
                    offline_nodes.entry(node).or_default().insert(cpu);
                }
                _ => {
                    homeless.insert(cpu);
                }
            }
        }
        for (node, cpus) in offline_nodes {
            self.believed.insert(node, cpus);
            quirks.push(Quirk::OfflineNode { node, cpus });
        }
        let fallback = self.believed.entry(self.fallback).or_default();
        *fallback = fallback.union(&homeless);
        if !homeless.is_empty() && !machine.nodes.is_empty() {
            quirks.push(Quirk::Homeless { node: self.fallback, cpus: homeless });
        }
    }

    fn of(&self, cpu: CpuId, raw: &RawCpu) -> NumaNodeId {
        let claims = |(id, cpus): (&NumaNodeId, &CpuSet)| cpus.contains(cpu).then_some(*id);
        let linked = raw.node.filter(|node| self.believed.contains_key(node));
        self.believed.iter().find_map(claims).or(linked).unwrap_or(self.fallback)
    }
}

fn nodes(
    machine: &RawMachine,
    homes: &Homes,
    cpus: &BTreeMap<CpuId, Cpu>,
    quirks: &mut Vec<Quirk>,
) -> BTreeMap<NumaNodeId, NumaNode> {
    let mut nodes = BTreeMap::new();
    for id in homes.believed.keys() {
        let of_node = cpus.values().filter(|cpu| cpu.online && cpu.node == *id);
        let mut node = NumaNode {
            id: *id,
            cpus: of_node.map(|cpu| cpu.id).collect(),
            memory: None,
            distances: BTreeMap::new(),
        };
        match machine.nodes.get(id) {
            Some(raw) => {
                node.memory = raw.memory;
                match distances(machine, homes, raw) {
                    Some(distances) => node.distances = distances,
                    None => quirks.push(Quirk::Distances { node: *id }),
                }
            }
            None if machine.nodes.is_empty() => {
                node.memory = machine.memory;
                node.distances = BTreeMap::from([(*id, LOCAL_DISTANCE)]);
            }
            None => {}
        }
        nodes.insert(*id, node);
    }
    nodes
}

/// ACPI's distance of a node to itself.
const LOCAL_DISTANCE: u32 = 10;

/// The row has one number per online node, in order of their ids; some old kernels print one per
/// possible node. `None` when it has another length. Nodes that are not believed are left out.
fn distances(
    machine: &RawMachine,
    homes: &Homes,
    raw: &RawNode,
) -> Option<BTreeMap<NumaNodeId, u32>> {
    let shown: BTreeSet<NumaNodeId> = machine.nodes.keys().copied().collect();
    let columns = [Some(&shown), machine.nodes_online.as_ref(), machine.nodes_possible.as_ref()]
        .into_iter()
        .flatten()
        .find(|columns| columns.len() == raw.distances.len())?;
    let known = columns.iter().copied().zip(raw.distances.iter().copied());
    Some(known.filter(|(id, _distance)| homes.believed.contains_key(id)).collect())
}

#[cfg(test)]
mod tests;
