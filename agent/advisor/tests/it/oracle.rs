//! What could be promised on machines of up to eight CPUs, by brute force: CPUs are numbers, and
//! all subsets are tried. Shares no code with the advisor.

use std::collections::{BTreeMap, BTreeSet};

use model::annotation::{CPU_ENHANCEMENT, MEMORY_ENHANCEMENT, QOS_LEVEL};
use model::enhancement::Enhancements;
use model::ledger::{Ledger, Place, Resident};
use model::pod::{Ask, Container, ContainerRole, Pod, Requests};
use model::qos::{PodUid, QosLevel, QosRules, WorkloadName};
use model::topology::Shape;
use model::{Bytes, CpuId, CpuSet, MilliCpu, Topology};

pub(crate) type Set = BTreeSet<u16>;

/// Sockets, NUMA nodes of a socket, caches of a node, cores of a cache, threads of a core.
pub(crate) type Form = (u16, u16, u16, u16, u16);

pub(crate) fn set(cpus: &CpuSet) -> Set {
    cpus.iter().map(|cpu| cpu.0).collect()
}

pub(crate) fn topology(form: Form, offline: Option<u16>) -> Topology {
    let (sockets, nodes_per_socket, llcs_per_node, cores_per_llc, threads_per_core) = form;
    let mut topology = Topology::synthetic(Shape {
        sockets,
        nodes_per_socket,
        llcs_per_node,
        cores_per_llc,
        threads_per_core,
        memory_per_node: Bytes(1 << 30),
    });
    if let Some(cpu) = offline.filter(|cpu| *cpu != 0)
        && let Some(cpu) = topology.cpus.get_mut(&CpuId(cpu))
    {
        cpu.online = false;
    }
    topology
}

/// What a pod may wish; the first is nothing.
const WISHES: [&str; 6] = [
    "{}",
    r#"{"numa_binding":"true"}"#,
    r#"{"numa_exclusive":"true"}"#,
    r#"{"numa_binding":"true","full_pcpus_pairing":"true"}"#,
    r#"{"numa_binding":"true","distribute_evenly_across_numa":"true","katalyst.kubewharf.io/numa_number":"2"}"#,
    r#"{"numa_binding":"true","distribute_evenly_across_numa":"true","full_pcpus_pairing":"true","katalyst.kubewharf.io/numa_number":"2"}"#,
];

pub(crate) const N_WISHES: u8 = WISHES.len() as u8;

pub(crate) fn ask(idx: usize, level: QosLevel, milli: u64, wish: u8) -> Ask {
    let requests = Requests { cpu: MilliCpu(milli), ..Requests::default() };
    let main = Container { name: "main".to_owned(), role: ContainerRole::App, requests };
    let annotations = [
        (QOS_LEVEL, level.name()),
        (MEMORY_ENHANCEMENT, WISHES[usize::from(wish)]),
        (CPU_ENHANCEMENT, "{}"),
    ];
    let pod = Pod {
        uid: PodUid::new(format!("p{idx}")),
        name: WorkloadName::new(format!("default/p{idx}")),
        owner: None,
        labels: BTreeMap::new(),
        annotations: annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        containers: vec![main],
        running: false,
    };
    Ask::of(&pod, &QosRules::default()).expect("a pod")
}

/// The oracle's view of a node.
#[derive(Clone)]
pub(crate) struct Oracle {
    /// Usable CPUs by node.
    nodes: BTreeMap<u16, Set>,
    /// Cores with all threads that a core of this machine has.
    cores: Vec<Set>,
    threads_per_core: usize,
    own: Set,
    /// Nodes of NUMA-bound dedicated pods.
    owned_nodes: Set,
    /// Requests and number of bound shared pods by node.
    bound: BTreeMap<u16, (u64, usize)>,
    unbound: (u64, usize),
}

impl Oracle {
    pub(crate) fn new(topology: &Topology, reserve: &Set, ledger: &Ledger) -> Oracle {
        let mut nodes: BTreeMap<u16, Set> = BTreeMap::new();
        let mut cores: BTreeMap<u16, Set> = BTreeMap::new();
        for cpu in topology.cpus.values().filter(|cpu| cpu.online) {
            cores.entry(cpu.core.0).or_default().insert(cpu.id.0);
            let node = nodes.entry(cpu.node.0).or_default();
            if !reserve.contains(&cpu.id.0) {
                node.insert(cpu.id.0);
            }
        }
        let threads_per_core = cores.values().map(Set::len).max().unwrap_or(1);
        let mut oracle = Oracle {
            nodes,
            cores: cores.into_values().filter(|core| core.len() == threads_per_core).collect(),
            threads_per_core,
            own: Set::new(),
            owned_nodes: Set::new(),
            bound: BTreeMap::new(),
            unbound: (0, 0),
        };
        for resident in ledger.pods.values() {
            oracle.add(resident);
        }
        oracle
    }

    fn add(&mut self, resident: &Resident) {
        let milli = resident.ask.cpu.0;
        match (resident.place, resident.ask.level) {
            (Place::Own { cpus, nodes }, _) => {
                self.own.extend(set(&cpus));
                self.owned_nodes.extend(nodes.iter().map(|node| node.0));
            }
            (Place::Node(node), QosLevel::SharedCores) => {
                let sum = self.bound.entry(node.0).or_default();
                *sum = (sum.0 + milli, sum.1 + 1);
            }
            (Place::Pool, QosLevel::SharedCores) => {
                self.unbound = (self.unbound.0 + milli, self.unbound.1 + 1);
            }
            _ => {}
        }
    }

    /// Whether all shared pods have what they ask for, if `own` and `bound_nodes` are added.
    pub(crate) fn holds(&self, more_own: &Set, more_bound: &Set) -> bool {
        let fits = |cpus: usize, (milli, n): (u64, usize)| {
            n == 0 || (cpus > 0 && milli <= cpus as u64 * 1000)
        };
        let mut n_unbound = 0;
        for (node, cpus) in &self.nodes {
            let free = cpus.iter().filter(|c| !self.own.contains(c) && !more_own.contains(c));
            let free = free.count();
            let bound = self.bound.get(node).copied().unwrap_or_default();
            let withheld =
                bound.1 > 0 || self.owned_nodes.contains(node) || more_bound.contains(node);
            if !fits(free, bound) {
                return false;
            }
            n_unbound += if withheld { 0 } else { free };
        }
        fits(n_unbound, self.unbound)
    }

    /// Whether CPUs on these nodes are what a dedicated pod wished: equal parts, whole cores but for
    /// the threads that make none.
    pub(crate) fn keeps(&self, wish: &Enhancements, nodes: &Set, cpus: &Set) -> bool {
        let parts: Vec<Set> = match wish.distribute_evenly {
            true => nodes.iter().map(|node| cpus & &self.all_of(*node)).collect(),
            false => vec![cpus.clone()],
        };
        let even = parts.iter().all(|part| part.len() * parts.len() == cpus.len());
        let paired = |part: &Set| {
            let whole = self.cores.iter().filter(|core| core.is_subset(part)).count();
            whole >= part.len() / self.threads_per_core
        };
        even && (!wish.full_pcpus_pairing || parts.iter().all(paired))
    }

    fn all_of(&self, node: u16) -> Set {
        self.nodes.get(&node).cloned().unwrap_or_default()
    }

    fn free_of(&self, node: u16) -> Set {
        self.nodes[&node].difference(&self.own).copied().collect()
    }

    /// Tries everything a pod could be given.
    pub(crate) fn could_place(&self, ask: &Ask) -> bool {
        let nodes: Vec<u16> = self.nodes.keys().copied().collect();
        let sets = subsets(&nodes);
        let bound = ask.wish.numa_binding;
        match ask.level {
            QosLevel::SharedCores if bound => {
                let one = ask.wish.numa_number.is_none_or(|number| number == 1);
                one && nodes.iter().any(|node| self.could_bind(ask, *node))
            }
            QosLevel::DedicatedCores if ask.wish.numa_exclusive => {
                sets.iter().any(|nodes| self.could_own_nodes(ask, nodes))
            }
            QosLevel::DedicatedCores if bound => {
                let n_nodes = usize::from(ask.wish.numa_number.unwrap_or(1));
                let sized = sets.iter().filter(|nodes| nodes.len() == n_nodes);
                sized.into_iter().any(|nodes| self.could_own_on(ask, nodes))
            }
            _ => self.could_place_anywhere(ask),
        }
    }

    /// The same for other requests of a pod that stays where it is; the pod itself is not counted.
    pub(crate) fn could_stay(&self, place: &Place, ask: &Ask) -> bool {
        match place {
            Place::Own { nodes, .. } if !nodes.is_empty() => {
                let nodes: Set = nodes.iter().map(|node| node.0).collect();
                match ask.wish.numa_exclusive {
                    true => self.could_own_nodes(ask, &nodes),
                    false => self.could_own_on(ask, &nodes),
                }
            }
            Place::Node(node) if ask.level == QosLevel::SharedCores => self.could_bind(ask, node.0),
            _ => self.could_place_anywhere(ask),
        }
    }

    fn could_place_anywhere(&self, ask: &Ask) -> bool {
        match ask.level {
            QosLevel::SharedCores => {
                let mut with = self.clone();
                with.unbound = (with.unbound.0 + ask.cpu.0, with.unbound.1 + 1);
                with.holds(&Set::new(), &Set::new())
            }
            QosLevel::DedicatedCores => {
                let free = self.nodes.keys().flat_map(|node| self.free_of(*node));
                let free: Vec<u16> = free.collect();
                let fits = |cpus: &Set| cpus.len() == whole(ask) && self.holds(cpus, &Set::new());
                subsets(&free).iter().any(fits)
            }
            QosLevel::ReclaimedCores | QosLevel::SystemCores => true,
        }
    }

    fn could_bind(&self, ask: &Ask, node: u16) -> bool {
        let mut with = self.clone();
        let sum = with.bound.entry(node).or_default();
        *sum = (sum.0 + ask.cpu.0, sum.1 + 1);
        with.holds(&Set::new(), &Set::new())
    }

    fn could_own_nodes(&self, ask: &Ask, nodes: &Set) -> bool {
        let empty =
            |node: &u16| !self.bound.contains_key(node) && self.nodes[node].is_disjoint(&self.own);
        let cpus: Set = nodes.iter().flat_map(|node| self.nodes[node].clone()).collect();
        nodes.iter().all(|node| empty(node) && !self.nodes[node].is_empty())
            && cpus.len() >= whole(ask)
            && self.holds(&cpus, nodes)
    }

    fn could_own_on(&self, ask: &Ask, nodes: &Set) -> bool {
        let free: Vec<u16> = nodes.iter().flat_map(|node| self.free_of(*node)).collect();
        let fits = |cpus: &Set| {
            cpus.len() == whole(ask)
                && self.keeps(&ask.wish, nodes, cpus)
                && self.holds(cpus, nodes)
        };
        subsets(&free).iter().any(fits)
    }
}

/// Whole CPUs that a dedicated pod gets.
fn whole(ask: &Ask) -> usize {
    usize::try_from(ask.cpu.0.div_ceil(1000)).expect("small").max(1)
}

fn subsets(of: &[u16]) -> Vec<Set> {
    let picked = |mask: u32| {
        let chosen = of.iter().enumerate().filter(move |(bit, _)| mask & (1 << bit) != 0);
        chosen.map(|(_, cpu)| *cpu).collect()
    };
    (1..1u32 << of.len()).map(picked).collect()
}
