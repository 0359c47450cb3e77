//! Admission on machines of up to eight CPUs against brute force: a pod is refused only if no set of
//! CPUs would do, and every promise is kept after each step. The oracle knows CPUs as numbers and
//! tries all subsets; it shares no code with what it judges.

use std::collections::{BTreeMap, BTreeSet};

use advisor::admit::{admit, placement_of, remove};
use advisor::hint::{Hints, PlacementInput, hints};
use advisor::layout::Layout;
use advisor::pool::{Held, Pools, placement, pools};
use advisor::tally::Tally;
use model::annotation::{CPU_ENHANCEMENT, MEMORY_ENHANCEMENT, QOS_LEVEL};
use model::ledger::{Ledger, Place, Resident};
use model::placement::PlacementPolicy;
use model::pod::{Ask, Container, ContainerRole, Pod, Requests};
use model::policy::Reserve;
use model::qos::{PodUid, QosLevel, QosRules, WorkloadName};
use model::topology::Shape;
use model::{Bytes, CpuId, CpuSet, MilliCpu, Nanos, Timestamp, Topology};
use proptest::prelude::*;

type Set = BTreeSet<u16>;

fn set(cpus: &CpuSet) -> Set {
    cpus.iter().map(|cpu| cpu.0).collect()
}

fn topology(shape: (u16, u16, u16, u16), offline: Option<u16>) -> Topology {
    let (sockets, nodes_per_socket, cores_per_llc, threads_per_core) = shape;
    let mut topology = Topology::synthetic(Shape {
        sockets,
        nodes_per_socket,
        llcs_per_node: 1,
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

/// What a pod wishes: 0 nothing, 1 binding, 2 exclusive.
fn ask(idx: usize, level: QosLevel, milli: u64, wish: u8) -> Ask {
    let memory = ["{}", r#"{"numa_binding":"true"}"#, r#"{"numa_exclusive":"true"}"#];
    let requests = Requests { cpu: MilliCpu(milli), ..Requests::default() };
    let main = Container { name: "main".to_owned(), role: ContainerRole::App, requests };
    let annotations = [
        (QOS_LEVEL, level.name()),
        (MEMORY_ENHANCEMENT, memory[usize::from(wish)]),
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
struct Oracle {
    /// Usable CPUs by node.
    nodes: BTreeMap<u16, Set>,
    own: Set,
    /// Nodes of NUMA-bound dedicated pods.
    owned_nodes: Set,
    /// Requests and number of bound shared pods by node.
    bound: BTreeMap<u16, (u64, usize)>,
    unbound: (u64, usize),
}

impl Oracle {
    fn new(topology: &Topology, reserve: &Set, ledger: &Ledger) -> Oracle {
        let mut nodes: BTreeMap<u16, Set> = BTreeMap::new();
        for cpu in topology.cpus.values().filter(|cpu| cpu.online) {
            let node = nodes.entry(cpu.node.0).or_default();
            if !reserve.contains(&cpu.id.0) {
                node.insert(cpu.id.0);
            }
        }
        let mut oracle = Oracle {
            nodes,
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
    fn holds(&self, more_own: &Set, more_bound: &Set) -> bool {
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

    fn free_of(&self, node: u16) -> Set {
        self.nodes[&node].difference(&self.own).copied().collect()
    }

    /// Tries everything a pod could be given.
    fn could_place(&self, ask: &Ask) -> bool {
        let n = usize::try_from(ask.cpu.0.div_ceil(1000)).expect("small").max(1);
        let wish = &ask.wish;
        match ask.level {
            QosLevel::SharedCores if wish.numa_binding => self.nodes.keys().any(|node| {
                let mut with = self.clone();
                let sum = with.bound.entry(*node).or_default();
                *sum = (sum.0 + ask.cpu.0, sum.1 + 1);
                with.holds(&Set::new(), &Set::new())
            }),
            QosLevel::SharedCores => {
                let mut with = self.clone();
                with.unbound = (with.unbound.0 + ask.cpu.0, with.unbound.1 + 1);
                with.holds(&Set::new(), &Set::new())
            }
            QosLevel::DedicatedCores if wish.numa_exclusive => {
                let all: Vec<u16> = self.nodes.keys().copied().collect();
                subsets(&all).into_iter().any(|nodes| {
                    let empty = |node: &u16| {
                        !self.bound.contains_key(node) && self.nodes[node].is_disjoint(&self.own)
                    };
                    let cpus: Set =
                        nodes.iter().flat_map(|node| self.nodes[node].clone()).collect();
                    nodes.iter().all(|node| empty(node) && !self.nodes[node].is_empty())
                        && cpus.len() >= n
                        && self.holds(&cpus, &nodes)
                })
            }
            QosLevel::DedicatedCores if wish.numa_binding => self.nodes.keys().any(|node| {
                let free: Vec<u16> = self.free_of(*node).into_iter().collect();
                let fits = |cpus: &Set| cpus.len() == n && self.holds(cpus, &Set::from([*node]));
                subsets(&free).iter().any(fits)
            }),
            QosLevel::DedicatedCores => {
                let free = self.nodes.keys().flat_map(|node| self.free_of(*node));
                let free: Vec<u16> = free.collect();
                subsets(&free).iter().any(|cpus| cpus.len() == n && self.holds(cpus, &Set::new()))
            }
            QosLevel::ReclaimedCores | QosLevel::SystemCores => true,
        }
    }
}

impl Clone for Oracle {
    fn clone(&self) -> Oracle {
        Oracle {
            nodes: self.nodes.clone(),
            own: self.own.clone(),
            owned_nodes: self.owned_nodes.clone(),
            bound: self.bound.clone(),
            unbound: self.unbound,
        }
    }
}

fn subsets(of: &[u16]) -> Vec<Set> {
    let picked = |mask: u32| {
        let chosen = of.iter().enumerate().filter(move |(bit, _)| mask & (1 << bit) != 0);
        chosen.map(|(_, cpu)| *cpu).collect()
    };
    (1..1u32 << of.len()).map(picked).collect()
}

/// Pools and every pod's CPUs, from the outside.
fn check_state(
    topology: &Topology,
    input: &PlacementInput<'_>,
    reserve: &Set,
) -> Result<(), TestCaseError> {
    let tally = Tally::of(input.layout, input.ledger, None, input.now);
    let pools = pools(input.layout, input.policy, &tally, &Held::default());
    check_pools(topology, input, &pools, reserve)?;
    let mut owners: BTreeMap<u16, &str> = BTreeMap::new();
    for (uid, resident) in &input.ledger.pods {
        let place = placement(input.layout, &tally, &pools, resident, input.now);
        prop_assert!(!place.cpus.is_empty(), "{} has no CPU", uid);
        prop_assert!(!place.mems.is_empty(), "{} has no memory", uid);
        prop_assert_eq!(&place, &placement_of(input, resident));
        if resident.ask.level == QosLevel::DedicatedCores {
            for cpu in set(&place.cpus) {
                let before = owners.insert(cpu, uid.as_str());
                prop_assert!(before.is_none(), "CPU {} of {} and {:?}", cpu, uid, before);
                prop_assert!(!reserve.contains(&cpu));
            }
        }
    }
    for (uid, resident) in &input.ledger.pods {
        let shared = resident.ask.level == QosLevel::SharedCores;
        let place = placement(input.layout, &tally, &pools, resident, input.now);
        let stranger = set(&place.cpus).into_iter().find(|cpu| owners.contains_key(cpu));
        prop_assert!(!shared || stranger.is_none(), "{} on an owned CPU {:?}", uid, stranger);
    }
    Ok(())
}

fn check_pools(
    topology: &Topology,
    input: &PlacementInput<'_>,
    pools: &Pools,
    reserve: &Set,
) -> Result<(), TestCaseError> {
    let online: Set = topology.cpus.values().filter(|cpu| cpu.online).map(|cpu| cpu.id.0).collect();
    let mut partition = reserve.clone();
    for (name, pool) in pools {
        let cpus = set(&pool.cpus);
        prop_assert!(!cpus.is_empty() && cpus.is_subset(&online), "{} has {:?}", name, cpus);
        if name.as_str() == "dedicated" || name.as_str().starts_with("share") {
            // More pools than CPUs is the one case in which they share.
            let crowded = input.ledger.pods.len() > online.len();
            prop_assert!(crowded || partition.is_disjoint(&cpus), "{}: {:?}", name, cpus);
            partition.extend(cpus);
        }
    }
    Ok(())
}

fn arb_shape() -> impl Strategy<Value = (u16, u16, u16, u16)> {
    (1u16..3, 1u16..3, 1u16..5, 1u16..3)
        .prop_filter("up to 8 CPUs", |(s, n, c, t)| s * n * c * t <= 8)
}

/// Level, thousandths, wish, seconds that pass before.
fn arb_pods() -> impl Strategy<Value = Vec<(usize, u64, u8, u64)>> {
    let milli = prop_oneof![0u64..4000, (0u64..6).prop_map(|cpus| cpus * 1000)];
    proptest::collection::vec((0usize..4, milli, 0u8..3, 0u64..20), 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn refused_only_if_impossible(
        shape in arb_shape(),
        offline in proptest::option::of(0u16..8),
        n_reserve in 0u16..2,
        overlap in any::<bool>(),
        reclaim in any::<bool>(),
        pods in arb_pods(),
    ) {
        let topology = topology(shape, offline);
        let policy = PlacementPolicy {
            reserve: Reserve::Count(n_reserve),
            overlap_shared_reclaim: overlap,
            reclaim_enabled: reclaim,
            ramp_up: Nanos::from_secs(20),
            ..PlacementPolicy::default()
        };
        let Ok(layout) = Layout::new(&topology, &policy) else { return Ok(()) };
        let reserve = set(&layout.reserve);
        let mut ledger = Ledger::default();
        let mut now = Timestamp(0);
        for (idx, (level, milli, wish, wait)) in pods.into_iter().enumerate() {
            now = now.after(Nanos::from_secs(wait));
            let ask = ask(idx, QosLevel::ALL[level], milli, wish);
            let before = ledger.clone();
            let input = PlacementInput {
                now, layout: &layout, policy: &policy, ledger: &before, headroom: None,
            };
            let oracle = Oracle::new(&topology, &reserve, &before);
            prop_assert!(oracle.holds(&Set::new(), &Set::new()));
            let said = admit(&input, &ask, None);
            prop_assert_eq!(said.is_ok(), oracle.could_place(&ask), "{:?} {:?}", ask, said);
            let impossible = matches!(hints(&input, &ask), Hints::Impossible(_));
            prop_assert!(!(impossible && said.is_ok()));
            let Ok(admission) = said else { continue };
            ledger.pods.insert(ask.uid.clone(), admission.resident.clone());
            let after = PlacementInput { ledger: &ledger, ..input };
            // Asked again it says the same; without the pod everything is as before.
            let again = admit(&after, &ask, None).expect("it is here");
            prop_assert_eq!(again.resident, admission.resident);
            let mut without = ledger.clone();
            remove(&after, &mut without, &ask.uid).expect("it is here");
            prop_assert_eq!(&without.pods, &before.pods);
            check_state(&topology, &after, &reserve)?;
        }
    }

    /// With every hint that is offered the pod is admitted, on exactly these nodes.
    #[test]
    fn every_hint_is_possible(shape in arb_shape(), pods in arb_pods()) {
        let topology = topology(shape, None);
        let policy = PlacementPolicy::default();
        let layout = Layout::new(&topology, &policy).expect("a machine");
        let mut ledger = Ledger::default();
        for (idx, (level, milli, wish, _)) in pods.into_iter().enumerate() {
            let ask = ask(idx, QosLevel::ALL[level], milli, wish);
            let before = ledger.clone();
            let input = PlacementInput {
                now: Timestamp(0), layout: &layout, policy: &policy, ledger: &before, headroom: None,
            };
            if let Hints::Options(options) = hints(&input, &ask) {
                let smallest = options.iter().map(|hint| hint.nodes.len()).min();
                for hint in &options {
                    let admission = admit(&input, &ask, Some(hint.nodes));
                    prop_assert!(admission.is_ok(), "{:?} {:?}", hint, admission);
                    prop_assert!(!hint.preferred || Some(hint.nodes.len()) == smallest);
                }
            }
            if let Ok(admission) = admit(&input, &ask, None) {
                ledger.pods.insert(ask.uid.clone(), admission.resident);
            }
        }
    }
}
