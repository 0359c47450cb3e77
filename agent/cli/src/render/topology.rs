//! `berth topology`: the machine as a tree of sockets, NUMA nodes, LLC groups, cores and CPUs, each
//! CPU with its pools. Owns the grouping that all formats share; `dot` and `svg` draw it.

mod dot;
mod svg;

use std::collections::BTreeMap;
use std::fmt::Write;

use model::{CpuId, CpuSet};
use proto::v1::{Cpu, NumaNode, Pool, Topology};

use super::{Hue, Look};
use crate::units::{bytes, or_missing};

pub(crate) use dot::dot;
pub(crate) use svg::svg;

/// Cores of one LLC group; the group has no number where the kernel does not tell caches.
type Group<'a> = BTreeMap<u32, Vec<&'a Cpu>>;

/// One NUMA node with its CPUs, by LLC group.
struct NodeView<'a> {
    id: u32,
    /// Missing when CPUs name a node that is not listed.
    node: Option<&'a NumaNode>,
    groups: BTreeMap<Option<u32>, Group<'a>>,
}

/// The machine, grouped.
struct Machine<'a> {
    sockets: BTreeMap<u32, Vec<NodeView<'a>>>,
    /// Memory without CPUs: CXL, HBM.
    bare: Vec<&'a NumaNode>,
    /// Offline CPUs of which the kernel does not tell the place.
    lost: CpuSet,
    efficiency: CpuSet,
    pools: Vec<(&'a str, CpuSet)>,
}

impl<'a> Machine<'a> {
    fn new(topology: &'a Topology, pools: &'a [Pool]) -> Machine<'a> {
        let mut sockets: BTreeMap<u32, Vec<NodeView<'a>>> = BTreeMap::new();
        for cpu in &topology.cpus {
            let nodes = sockets.entry(cpu.socket).or_default();
            let idx = match nodes.iter().position(|node| node.id == cpu.numa_node) {
                Some(idx) => idx,
                None => {
                    nodes.push(node_view(topology, cpu.numa_node));
                    nodes.len() - 1
                }
            };
            let group = nodes[idx].groups.entry(cpu.llc).or_default();
            group.entry(cpu.core).or_default().push(cpu);
        }
        sockets.values_mut().for_each(|nodes| nodes.sort_by_key(|node| node.id));
        let has_cpus =
            |node: &&NumaNode| topology.cpus.iter().any(|c| c.numa_node == node.numa_node);
        let placed: CpuSet = topology.cpus.iter().filter_map(cpu_id).collect();
        Machine {
            sockets,
            bare: topology.nodes.iter().filter(|node| !has_cpus(node)).collect(),
            lost: list(&topology.offline_cpus).difference(&placed),
            efficiency: list(&topology.efficiency_cpus),
            pools: pools.iter().map(|pool| (pool.name.as_str(), list(&pool.cpus))).collect(),
        }
    }

    /// The pools of a CPU in the order of their names.
    fn pools_of(&self, cpu: &Cpu) -> Vec<&'a str> {
        let Some(id) = cpu_id(cpu) else { return Vec::new() };
        self.pools.iter().filter(|(_, cpus)| cpus.contains(id)).map(|(name, _)| *name).collect()
    }
}

fn node_view(topology: &Topology, id: u32) -> NodeView<'_> {
    let node = topology.nodes.iter().find(|node| node.numa_node == id);
    NodeView { id, node, groups: BTreeMap::new() }
}

fn cpu_id(cpu: &Cpu) -> Option<CpuId> {
    u16::try_from(cpu.cpu).ok().map(CpuId)
}

/// A list that cannot be read is an agent of another version; it is drawn as nothing.
fn list(text: &str) -> CpuSet {
    text.parse().unwrap_or_default()
}

/// `memory 4.0 GiB   distances 10 21`
fn node_facts(node: Option<&NumaNode>) -> String {
    let Some(node) = node else { return "memory -".to_owned() };
    let distances: Vec<String> = node.distances.iter().map(|to| to.distance.to_string()).collect();
    let memory = or_missing(node.memory_bytes, bytes);
    match distances.is_empty() {
        true => format!("memory {memory}"),
        false => format!("memory {memory}   distances {}", distances.join(" ")),
    }
}

pub(crate) fn tree(topology: &Topology, pools: &[Pool], look: Look) -> String {
    let machine = Machine::new(topology, pools);
    if topology.cpus.is_empty() && topology.nodes.is_empty() {
        return "no topology: the agent could not read the machine's CPUs\n".to_owned();
    }
    let mut text = String::new();
    for (socket, nodes) in &machine.sockets {
        // writing to a String cannot fail
        let _ = writeln!(text, "socket {socket}");
        for node in nodes {
            let _ = writeln!(text, "  node {}   {}", node.id, node_facts(node.node));
            tree_of_node(&mut text, &machine, node, look);
        }
    }
    for node in &machine.bare {
        let facts = node_facts(Some(node));
        let _ = writeln!(text, "node {}   {facts}   no CPUs", node.numa_node);
    }
    if !machine.lost.is_empty() {
        let _ = writeln!(text, "offline, place unknown: {}", machine.lost);
    }
    text
}

fn tree_of_node(text: &mut String, machine: &Machine<'_>, node: &NodeView<'_>, look: Look) {
    for (llc, cores) in &node.groups {
        let name = llc.map_or_else(|| "LLC -".to_owned(), |llc| format!("LLC {llc}"));
        let n_cpus: usize = cores.values().map(Vec::len).sum();
        let (cores_text, cpus_text) = (counted(cores.len(), "core"), counted(n_cpus, "CPU"));
        let _ = writeln!(text, "    {name}   {cores_text}, {cpus_text}");
        for (core, cpus) in cores {
            let cpus: Vec<String> = cpus.iter().map(|cpu| leaf(machine, cpu, look)).collect();
            let _ = writeln!(text, "      core {core:<4} {}", cpus.join("   ").trim_end());
        }
    }
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `3 share+reclaim`, `7 offline`, `9 no pool (E)`
fn leaf(machine: &Machine<'_>, cpu: &Cpu, look: Look) -> String {
    let mark = match cpu_id(cpu).is_some_and(|id| machine.efficiency.contains(id)) {
        true => " (E)",
        false => "",
    };
    let pools = machine.pools_of(cpu);
    let text = match (cpu.online, pools.is_empty()) {
        (false, _) => look.paint.with(Hue::Dim, "offline"),
        (true, true) => look.paint.with(Hue::Dim, "no pool"),
        (true, false) => pools.join("+"),
    };
    format!("{} {text}{mark}", cpu.cpu)
}

#[cfg(test)]
mod tests;
