//! The machine as the scheduler sees it: Socket -> NUMA node -> LLC group -> Core -> Cpu.
//! Immutable; hotplug makes a new one. `hostfs` builds it from sysfs, `synthetic` for tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::cpuset::CpuSet;
use crate::units::{Bytes, CoreId, CpuId, LlcId, NumaNodeId, SocketId};

/// One logical CPU and where it sits. Offline CPUs keep an entry where the kernel still tells
/// their place, with `online == false`; where it does not, they are only in `Topology::offline`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    pub id: CpuId,
    pub online: bool,
    pub core: CoreId,
    pub socket: SocketId,
    pub node: NumaNodeId,
    /// Absent where the kernel exports no cache directory (many virtual machines).
    pub llc: Option<LlcId>,
}

/// One NUMA node; it may have no CPUs (CXL, HBM) or no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumaNode {
    pub id: NumaNodeId,
    pub cpus: CpuSet,
    /// `None` when the kernel does not say, which is not the same as zero.
    pub memory: Option<Bytes>,
    /// ACPI SLIT distance to each node, itself included (10 is local).
    pub distances: BTreeMap<NumaNodeId, u32>,
}

/// A machine's CPUs and memory nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    pub cpus: BTreeMap<CpuId, Cpu>,
    pub nodes: BTreeMap<NumaNodeId, NumaNode>,
    /// CPUs that are present but not online.
    pub offline: CpuSet,
    /// CPUs of efficiency cores on a hybrid machine; empty where all cores are alike.
    pub efficiency: CpuSet,
}

/// The shape of a regular machine; every count is per the level above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub sockets: u16,
    pub nodes_per_socket: u16,
    pub llcs_per_node: u16,
    pub cores_per_llc: u16,
    pub threads_per_core: u16,
    pub memory_per_node: Bytes,
}

impl Topology {
    pub fn online(&self) -> CpuSet {
        self.cpus.values().filter(|cpu| cpu.online).map(|cpu| cpu.id).collect()
    }

    pub fn n_online(&self) -> usize {
        self.cpus.values().filter(|cpu| cpu.online).count()
    }

    /// Online CPUs of one NUMA node; empty for a node that is unknown or has only memory.
    pub fn cpus_of_node(&self, node: NumaNodeId) -> CpuSet {
        self.online_where(|cpu| cpu.node == node)
    }

    /// Online CPUs that share a physical core with `cpu`, itself included.
    pub fn siblings(&self, cpu: CpuId) -> CpuSet {
        match self.cpus.get(&cpu) {
            Some(of) => self.online_where(|cpu| cpu.core == of.core),
            None => CpuSet::EMPTY,
        }
    }

    /// Online CPUs of each physical core, in order of core id.
    pub fn cores(&self) -> BTreeMap<CoreId, CpuSet> {
        let mut cores: BTreeMap<CoreId, CpuSet> = BTreeMap::new();
        for cpu in self.cpus.values().filter(|cpu| cpu.online) {
            cores.entry(cpu.core).or_default().insert(cpu.id);
        }
        cores
    }

    pub fn node_of(&self, cpu: CpuId) -> Option<NumaNodeId> {
        self.cpus.get(&cpu).map(|cpu| cpu.node)
    }

    pub fn sockets(&self) -> BTreeSet<SocketId> {
        self.cpus.values().map(|cpu| cpu.socket).collect()
    }

    fn online_where(&self, wanted: impl Fn(&Cpu) -> bool) -> CpuSet {
        self.cpus.values().filter(|cpu| cpu.online && wanted(cpu)).map(|cpu| cpu.id).collect()
    }

    /// A regular machine, numbered as Linux numbers most x86 servers: first threads of all cores
    /// first (socket by socket), then second threads. Distances are 10 local, 12 in the same
    /// socket, 21 across.
    pub fn synthetic(shape: Shape) -> Topology {
        let n_nodes = shape.sockets * shape.nodes_per_socket;
        let cores_per_node = shape.llcs_per_node * shape.cores_per_llc;
        let n_cores = n_nodes * cores_per_node;
        let mut cpus = BTreeMap::new();
        for id in 0..n_cores * shape.threads_per_core {
            let core = id % n_cores;
            let node = core / cores_per_node;
            let cpu = Cpu {
                id: CpuId(id),
                online: true,
                core: CoreId(core),
                socket: SocketId(node / shape.nodes_per_socket),
                node: NumaNodeId(node),
                llc: Some(LlcId(core / shape.cores_per_llc * shape.cores_per_llc)),
            };
            cpus.insert(cpu.id, cpu);
        }
        let nodes = (0..n_nodes)
            .map(|node| (NumaNodeId(node), synthetic_node(shape, n_nodes, node, &cpus)))
            .collect();
        Topology { cpus, nodes, ..Topology::default() }
    }
}

fn synthetic_node(shape: Shape, n_nodes: u16, node: u16, cpus: &BTreeMap<CpuId, Cpu>) -> NumaNode {
    let distance = |other: u16| match other {
        other if other == node => 10,
        other if other / shape.nodes_per_socket == node / shape.nodes_per_socket => 12,
        _ => 21,
    };
    NumaNode {
        id: NumaNodeId(node),
        cpus: cpus.values().filter(|cpu| cpu.node.0 == node).map(|cpu| cpu.id).collect(),
        memory: Some(shape.memory_per_node),
        distances: (0..n_nodes).map(|other| (NumaNodeId(other), distance(other))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_sockets_smt() -> Topology {
        Topology::synthetic(Shape {
            sockets: 2,
            nodes_per_socket: 1,
            llcs_per_node: 2,
            cores_per_llc: 2,
            threads_per_core: 2,
            memory_per_node: Bytes(1 << 30),
        })
    }

    #[test]
    fn synthetic_machine_is_numbered_like_an_x86_server() {
        let machine = two_sockets_smt();
        assert_eq!(machine.online().to_string(), "0-15");
        assert_eq!(machine.cpus_of_node(NumaNodeId(0)).to_string(), "0-3,8-11");
        assert_eq!(machine.siblings(CpuId(1)).to_string(), "1,9");
        assert_eq!(machine.cpus[&CpuId(11)].llc, Some(LlcId(2)));
        assert_eq!(machine.nodes[&NumaNodeId(0)].distances[&NumaNodeId(1)], 21);
        assert_eq!(machine.cores().len(), 8);
    }

    #[test]
    fn an_offline_cpu_is_in_no_set() {
        let mut machine = two_sockets_smt();
        machine.cpus.get_mut(&CpuId(9)).expect("cpu 9").online = false;
        assert_eq!(machine.siblings(CpuId(1)).to_string(), "1");
        assert_eq!(machine.online().to_string(), "0-8,10-15");
        assert_eq!(machine.siblings(CpuId(99)), CpuSet::EMPTY);
    }
}
