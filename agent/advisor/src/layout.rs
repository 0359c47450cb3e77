//! A machine indexed for placement: which CPUs pods may have, by node, socket, last-level cache and
//! core. Built once per topology and policy; owns no decision but who is left out (offline, reserved,
//! forbidden CPUs).

use std::collections::BTreeMap;

use model::placement::PlacementPolicy;
use model::{Bytes, CpuId, CpuSet, LlcId, NumaNodeId, NumaSet, SocketId, Topology};

use crate::plan::reserved;

/// The machine as placement sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub online: CpuSet,
    /// Kept for the system.
    pub reserve: CpuSet,
    /// Never given to a pod, the interrupt pool.
    pub forbidden: CpuSet,
    /// What pods may have: online, not reserved, not forbidden.
    pub usable: CpuSet,
    /// Online CPUs of efficiency cores.
    pub efficiency: CpuSet,
    /// Ascending by id; nodes without CPUs or without memory are among them.
    pub nodes: Vec<Node>,
    /// Online CPUs per socket, ascending by id.
    pub sockets: Vec<CpuSet>,
    /// Online CPUs per last-level cache, ascending by id.
    pub llcs: Vec<CpuSet>,
    /// Ascending by id.
    pub cores: Vec<Core>,
    pub n_online: usize,
    /// Threads of the widest core.
    pub threads_per_core: usize,
    /// `None` when the kernel does not say for every node.
    pub memory: Option<Bytes>,
}

/// One NUMA node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub id: NumaNodeId,
    /// Online CPUs.
    pub cpus: CpuSet,
    pub n_cpus: usize,
    pub usable: CpuSet,
    /// Index in `Layout::sockets`; `None` without CPUs.
    pub socket: Option<usize>,
    /// Itself where it has memory, else the nearest nodes that have.
    pub memory: NumaSet,
    /// Of its own; `None` when the kernel does not say.
    pub size: Option<Bytes>,
}

/// One physical core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Online threads, ascending.
    pub threads: Vec<CpuId>,
    /// Indexes in `Layout::nodes` and `Layout::sockets`.
    pub node: usize,
    pub socket: usize,
}

/// Why nothing can be placed on a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("the machine has no online CPU")]
    NoCpus,
    #[error(
        "reserved CPUs {reserve} and forbidden CPUs {forbidden} leave none of the online CPUs {online}"
    )]
    NothingUsable { reserve: Box<CpuSet>, forbidden: Box<CpuSet>, online: Box<CpuSet> },
}

impl Layout {
    pub fn new(topology: &Topology, policy: &PlacementPolicy) -> Result<Layout, LayoutError> {
        let reserve = reserved(topology, policy, usize::MAX);
        Layout::without(topology, reserve, policy.forbidden)
    }

    /// The same for a reserve that was chosen already.
    pub fn without(
        topology: &Topology,
        reserve: CpuSet,
        forbidden: CpuSet,
    ) -> Result<Layout, LayoutError> {
        let online = topology.online();
        let forbidden = forbidden.intersection(&online);
        let usable = online.difference(&reserve).difference(&forbidden);
        match (online.is_empty(), usable.is_empty()) {
            (true, _) => return Err(LayoutError::NoCpus),
            (_, true) => {
                let [reserve, forbidden, online] = [reserve, forbidden, online].map(Box::new);
                return Err(LayoutError::NothingUsable { reserve, forbidden, online });
            }
            _ => {}
        }
        let sockets = sets(topology, |cpu| Some(cpu.socket));
        let nodes = nodes(topology, &usable, &sockets);
        let cores = cores(topology, &nodes, &sockets);
        Ok(Layout {
            online,
            reserve,
            forbidden,
            usable,
            efficiency: topology.efficiency.intersection(&online),
            nodes,
            sockets: sockets.into_values().collect(),
            llcs: sets::<LlcId>(topology, |cpu| cpu.llc).into_values().collect(),
            threads_per_core: cores.iter().map(|core| core.threads.len()).max().unwrap_or(1),
            cores,
            n_online: online.len(),
            memory: topology
                .nodes
                .values()
                .map(|node| node.memory)
                .try_fold(Bytes(0), |sum, of| of.map(|bytes| Bytes(sum.0.saturating_add(bytes.0)))),
        })
    }

    /// Position of a node in `nodes`.
    pub fn node_idx(&self, id: NumaNodeId) -> Option<usize> {
        self.nodes.binary_search_by_key(&id, |node| node.id).ok()
    }

    /// Ids of nodes that have an online CPU.
    pub fn nodes_with_cpus(&self) -> NumaSet {
        self.nodes.iter().filter(|node| node.n_cpus > 0).map(|node| node.id).collect()
    }

    /// Whether all of a core can be had: its threads are free, and none of them is offline.
    pub(crate) fn is_whole_in(&self, core: &Core, free: &CpuSet) -> bool {
        let slow = |cpu: &CpuId| self.efficiency.contains(*cpu);
        let complete =
            core.threads.len() == self.threads_per_core || core.threads.first().is_some_and(slow);
        complete && core.threads.iter().all(|cpu| free.contains(*cpu))
    }

    /// Every node with memory.
    pub fn nodes_with_memory(&self) -> NumaSet {
        self.nodes.iter().fold(NumaSet::EMPTY, |all, node| all.union(node.memory))
    }

    /// Memory of a set of nodes; `None` when the kernel does not say for each of them.
    pub fn memory_of(&self, nodes: NumaSet) -> Option<Bytes> {
        let members = self.nodes.iter().filter(|node| nodes.contains(node.id));
        let mut sizes = members.map(|node| node.size);
        sizes.try_fold(Bytes(0), |sum, of| of.map(|bytes| Bytes(sum.0.saturating_add(bytes.0))))
    }

    /// Usable CPUs of a set of nodes.
    pub fn usable_of(&self, nodes: NumaSet) -> CpuSet {
        let members = self.nodes.iter().filter(|node| nodes.contains(node.id));
        members.fold(CpuSet::EMPTY, |all, node| all.union(&node.usable))
    }

    /// A set of CPUs by node; nodes with none of them are left out.
    pub fn per_node(&self, cpus: &CpuSet) -> BTreeMap<NumaNodeId, CpuSet> {
        let parts = self.nodes.iter().map(|node| (node.id, node.cpus.intersection(cpus)));
        parts.filter(|(_, part)| !part.is_empty()).collect()
    }
}

fn sets<K: Ord>(
    topology: &Topology,
    key: impl Fn(&model::topology::Cpu) -> Option<K>,
) -> BTreeMap<K, CpuSet> {
    let mut sets: BTreeMap<K, CpuSet> = BTreeMap::new();
    for cpu in topology.cpus.values().filter(|cpu| cpu.online) {
        if let Some(key) = key(cpu) {
            sets.entry(key).or_default().insert(cpu.id);
        }
    }
    sets
}

fn nodes(topology: &Topology, usable: &CpuSet, sockets: &BTreeMap<SocketId, CpuSet>) -> Vec<Node> {
    let by_node = sets(topology, |cpu| Some(cpu.node));
    let node = |id: &NumaNodeId| {
        let cpus = by_node.get(id).copied().unwrap_or_default();
        let socket = cpus.first().and_then(|cpu| topology.cpus.get(&cpu)).map(|cpu| cpu.socket);
        Node {
            id: *id,
            cpus,
            n_cpus: cpus.len(),
            usable: cpus.intersection(usable),
            socket: socket.and_then(|socket| sockets.keys().position(|id| *id == socket)),
            memory: nearest_memory(topology, *id),
            size: topology.nodes.get(id).and_then(|node| node.memory),
        }
    };
    let mut ids: Vec<&NumaNodeId> = topology.nodes.keys().chain(by_node.keys()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(node).collect()
}

/// Memory of unknown size counts as memory: only a node that says zero has none.
fn nearest_memory(topology: &Topology, id: NumaNodeId) -> NumaSet {
    let has_memory =
        |id: &NumaNodeId| topology.nodes.get(id).is_none_or(|node| node.memory != Some(Bytes(0)));
    if has_memory(&id) {
        return NumaSet::single(id);
    }
    let Some(node) = topology.nodes.get(&id) else { return NumaSet::EMPTY };
    let far = |to: &NumaNodeId| node.distances.get(to).copied().unwrap_or(u32::MAX);
    let others = || topology.nodes.keys().filter(|other| has_memory(other));
    let Some(nearest) = others().map(far).min() else { return NumaSet::EMPTY };
    others().filter(|other| far(other) == nearest).copied().collect()
}

fn cores(topology: &Topology, nodes: &[Node], sockets: &BTreeMap<SocketId, CpuSet>) -> Vec<Core> {
    let core = |threads: &CpuSet| {
        let cpu = topology.cpus.get(&threads.first()?)?;
        Some(Core {
            threads: threads.iter().collect(),
            node: nodes.binary_search_by_key(&cpu.node, |node| node.id).ok()?,
            socket: sockets.keys().position(|id| *id == cpu.socket)?,
        })
    };
    topology.cores().values().filter_map(core).collect()
}

#[cfg(test)]
mod tests {
    use model::policy::Reserve;

    use super::*;
    use crate::testkit::{cpus, f16, machine, offline};

    #[test]
    fn offline_reserved_and_forbidden_cpus_are_not_usable() {
        let mut topology = f16();
        offline(&mut topology, 9);
        let policy = PlacementPolicy {
            reserve: Reserve::Count(2),
            forbidden: cpus("5,9"),
            ..PlacementPolicy::default()
        };
        let layout = Layout::new(&topology, &policy).expect("a machine");
        assert_eq!(layout.reserve, cpus("0,2"));
        assert_eq!(layout.usable, cpus("1,3-4,6-8,10-15"));
        assert_eq!(layout.nodes[0].usable, cpus("1,8"));
        assert_eq!((layout.sockets.len(), layout.nodes[2].socket), (2, Some(1)));
    }

    #[test]
    fn a_machine_where_nothing_is_left_says_so() {
        let policy = |reserve| PlacementPolicy { reserve, ..PlacementPolicy::default() };
        let all = policy(Reserve::Cpus(cpus("0-3")));
        let error = Layout::new(&machine(1, 4, 1), &all).expect_err("all reserved");
        assert_eq!(
            error.to_string(),
            "reserved CPUs 0-3 and forbidden CPUs  leave none of the online CPUs 0-3"
        );
        assert_eq!(Layout::new(&Topology::default(), &all), Err(LayoutError::NoCpus));
        let one = Layout::new(&machine(1, 1, 1), &policy(Reserve::Count(0))).expect("one CPU");
        assert_eq!(one.usable, cpus("0"));
    }

    #[test]
    fn a_node_without_memory_borrows_from_the_nearest() {
        let mut topology = f16();
        topology.nodes.get_mut(&NumaNodeId(2)).expect("node 2").memory = Some(Bytes(0));
        let layout = Layout::new(&topology, &PlacementPolicy::default()).expect("a machine");
        // node 3 is in the same socket, nodes 0 and 1 are across
        assert_eq!(layout.nodes[2].memory, NumaSet::single(NumaNodeId(3)));
        assert_eq!(layout.nodes_with_memory().to_string(), "0-1,3");
    }
}
