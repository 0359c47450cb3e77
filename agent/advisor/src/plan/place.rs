//! Which CPUs, once it is known how many: those held already, then whole cores, then few NUMA
//! nodes, then id order. Owns placement only.

use std::collections::BTreeMap;

use model::{CoreId, CpuId, CpuSet, NumaNodeId, Topology};

/// From which end ids are taken. Share grows from below and reclaim from above, so that a moving
/// border between them moves few CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// `n` CPUs of `candidates` (all of them when there are fewer).
pub(super) fn pick(
    topology: &Topology,
    candidates: &CpuSet,
    held: &CpuSet,
    n: usize,
    order: Order,
) -> CpuSet {
    let held = held.intersection(candidates);
    if held.len() == n {
        return held;
    }
    if candidates.len() <= n {
        return *candidates;
    }
    let mut ranked = rank(topology, candidates, &held, order);
    if n < ranked.len() {
        // The first `n` in any order: no two CPUs rank alike, and the answer is a set.
        ranked.select_nth_unstable(n);
    }
    ranked.into_iter().take(n).map(|ranked| ranked.cpu).collect()
}

/// Sort key of one CPU; fields in order of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked {
    not_held: bool,
    /// CPUs already held on the node, as a number that sorts most first.
    node_emptiness: usize,
    node: i32,
    /// A core that is partly held is completed, then whole cores come, then split ones.
    core_class: u8,
    core: i32,
    id: i32,
    cpu: CpuId,
}

fn rank(topology: &Topology, candidates: &CpuSet, held: &CpuSet, order: Order) -> Vec<Ranked> {
    let mut cores: BTreeMap<CoreId, Threads> = BTreeMap::new();
    let mut nodes: BTreeMap<NumaNodeId, usize> = BTreeMap::new();
    for cpu in topology.cpus.values().filter(|cpu| cpu.online) {
        let threads = cores.entry(cpu.core).or_default();
        threads.all += 1;
        threads.candidates += usize::from(candidates.contains(cpu.id));
        if held.contains(cpu.id) {
            threads.held += 1;
            *nodes.entry(cpu.node).or_default() += 1;
        }
    }
    let signed = |id: u16| match order {
        Order::Ascending => i32::from(id),
        Order::Descending => -i32::from(id),
    };
    let ranked = candidates.iter().filter_map(|id| {
        let cpu = topology.cpus.get(&id)?;
        Some(Ranked {
            not_held: !held.contains(id),
            node_emptiness: usize::MAX - nodes.get(&cpu.node).copied().unwrap_or(0),
            node: signed(cpu.node.0),
            core_class: cores.get(&cpu.core).map_or(2, Threads::class),
            core: signed(cpu.core.0),
            id: signed(id.0),
            cpu: id,
        })
    });
    ranked.collect()
}

/// Threads of one core.
#[derive(Clone, Copy, Debug, Default)]
struct Threads {
    all: usize,
    candidates: usize,
    held: usize,
}

impl Threads {
    fn class(&self) -> u8 {
        if self.held > 0 {
            0
        } else if self.candidates == self.all {
            1
        } else {
            2
        }
    }
}
