//! `machine:`: a regular shape, or a recorded tree.

use model::numa::MAX_NODES;
use model::topology::Shape;
use model::{Bytes, CpuSet, Topology, quantity};

use super::ReadTree;
use super::field::Field;

const KEYS: [&str; 10] = [
    "sockets",
    "numa_per_socket",
    "cores_per_numa",
    "threads_per_core",
    "llc_per_numa",
    "memory_per_numa",
    "efficiency_cpus",
    "offline",
    "numa_without_memory",
    "tree",
];

/// CPUs that a set can hold.
const MAX_CPUS: u64 = model::cpuset::MAX_CPUS as u64;

/// Keys of a shape, which a tree excludes.
const SHAPE: [&str; 6] = [
    "sockets",
    "numa_per_socket",
    "cores_per_numa",
    "threads_per_core",
    "llc_per_numa",
    "memory_per_numa",
];

pub(super) fn read(machine: &Field<'_>, read_tree: &ReadTree<'_>) -> Result<Topology, String> {
    machine.check_keys(&KEYS)?;
    let mut topology = match machine.get("tree")? {
        Some(tree) => {
            for key in SHAPE {
                if let Some(field) = machine.get(key)? {
                    return Err(field.wrong(&"a machine has a tree or a shape, not both"));
                }
            }
            read_tree(&tree.text()?).map_err(|error| tree.wrong(&error))?
        }
        None => synthetic(machine)?,
    };
    if let Some(field) = machine.get("efficiency_cpus")? {
        topology.efficiency = field.cpus_of(&known(&topology))?;
    }
    if let Some(field) = machine.get("offline")? {
        for cpu in field.cpus()?.iter() {
            let known = topology.cpus.get_mut(&cpu);
            known.ok_or_else(|| field.refuse("CPUs of the machine"))?.online = false;
            topology.offline.insert(cpu);
        }
    }
    if let Some(field) = machine.get("numa_without_memory")? {
        for id in field.ids(u64::from(MAX_NODES) - 1)? {
            let node = topology.nodes.get_mut(&model::NumaNodeId(id));
            node.ok_or_else(|| field.refuse("NUMA nodes of the machine"))?.memory = Some(Bytes(0));
        }
    }
    Ok(topology)
}

/// Every CPU of a machine, offline ones included.
pub(super) fn known(topology: &Topology) -> CpuSet {
    topology.cpus.keys().copied().collect::<CpuSet>().union(&topology.offline)
}

fn synthetic(machine: &Field<'_>) -> Result<Topology, String> {
    let count = |key: &str, default: u64| match machine.get(key)? {
        Some(field) => field.int(1..=MAX_CPUS),
        None => Ok(default),
    };
    let (sockets, nodes) = (count("sockets", 1)?, count("numa_per_socket", 1)?);
    let cores = machine.required("cores_per_numa")?.int(1..=MAX_CPUS)?;
    let threads = count("threads_per_core", 1)?;
    let llcs = count("llc_per_numa", 1)?;
    let n_cpus = sockets * nodes * cores * threads;
    if n_cpus > MAX_CPUS || sockets * nodes > u64::from(MAX_NODES) {
        return Err(format!(
            "machine: {n_cpus} CPUs in {} NUMA nodes are too many; allowed are {MAX_CPUS} in \
             {MAX_NODES}",
            sockets * nodes
        ));
    }
    if cores % llcs != 0 {
        return Err(format!("machine.llc_per_numa: {llcs} does not divide {cores} cores_per_numa"));
    }
    let memory = match machine.get("memory_per_numa")? {
        Some(field) => Some(quantity::memory(&field.text()?).map_err(|error| field.wrong(&error))?),
        None => None,
    };
    let small = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let mut topology = Topology::synthetic(Shape {
        sockets: small(sockets),
        nodes_per_socket: small(nodes),
        llcs_per_node: small(llcs),
        cores_per_llc: small(cores / llcs),
        threads_per_core: small(threads),
        memory_per_node: memory.unwrap_or_default(),
    });
    for node in topology.nodes.values_mut() {
        node.memory = memory;
    }
    Ok(topology)
}
