//! Properties of promises on random nodes: nothing is told that is not there, terms and nodes add up,
//! more work of others never makes the promise larger, memory that is kept never exceeds a node. The
//! oracles sum up CPUs and bytes by themselves.

use std::collections::BTreeMap;

use advisor::headroom::{HeadroomInput, headroom, momentary};
use advisor::hint::PlacementInput;
use advisor::layout::Layout;
use advisor::memory::guard::{Guard, guard};
use advisor::memory::protect::protect;
use advisor::pool::{Held, Pools, mems_of, pools};
use advisor::tally::Tally;
use model::headroom::{
    Amount, CpuOversell, Headroom, HeadroomPolicy, HeadroomState, MemoryRule, ReclaimQuota,
};
use model::ledger::{Ledger, Place, Resident};
use model::measured::{Measured, NodeMemory, PodMeasure};
use model::memory::MemoryPolicy;
use model::placement::PlacementPolicy;
use model::pod::{Ask, Container, ContainerRole, Pod, Requests};
use model::qos::{PodUid, QosLevel, QosRules, WorkloadName};
use model::topology::Shape;
use model::{Bytes, CpuId, MilliCpu, Nanos, NumaNodeId, Timestamp, Topology};
use proptest::prelude::*;

const N_CPUS: u16 = 16;
const N_NODES: u16 = 4;
const NODE_MEMORY: u64 = 1_000_000;

fn topology() -> Topology {
    Topology::synthetic(Shape {
        sockets: 1,
        nodes_per_socket: N_NODES,
        llcs_per_node: 1,
        cores_per_llc: N_CPUS / N_NODES,
        threads_per_core: 1,
        memory_per_node: Bytes(NODE_MEMORY),
    })
}

/// Level, node it is bound to, memory it asks for, CPU it uses, memory it has.
type Draft = (bool, Option<u16>, u64, u64, u64);

fn resident(idx: usize, draft: &Draft) -> Resident {
    let (reclaimed, node, memory, _, _) = *draft;
    let level = if reclaimed { QosLevel::ReclaimedCores } else { QosLevel::SharedCores };
    let requests = Requests { cpu: MilliCpu(500), memory: Bytes(memory), ..Requests::default() };
    let main = Container { name: "main".to_owned(), role: ContainerRole::App, requests };
    let pod = Pod {
        uid: PodUid::new(format!("p{idx}")),
        name: WorkloadName::new(format!("default/p{idx}")),
        owner: None,
        labels: BTreeMap::new(),
        annotations: [(model::annotation::QOS_LEVEL.to_owned(), level.name().to_owned())].into(),
        containers: vec![main],
        running: true,
    };
    let ask = Ask::of(&pod, &QosRules::default()).expect("a pod");
    let place = node.map_or(Place::Pool, |node| Place::Node(NumaNodeId(node)));
    Resident { ask, place, ramp_until: None }
}

fn ledger(drafts: &[Draft]) -> Ledger {
    let pods = drafts.iter().enumerate().map(|(idx, draft)| {
        let one = resident(idx, draft);
        (one.ask.uid.clone(), one)
    });
    Ledger { pods: pods.collect(), ..Ledger::default() }
}

fn measured(drafts: &[Draft], busy: &[u16], free: &[u64]) -> Measured {
    let pods = drafts.iter().enumerate().map(|(idx, draft)| {
        let (cpu, rss) = (Some(MilliCpu(draft.3)), Some(Bytes(draft.4)));
        (PodUid::new(format!("p{idx}")), PodMeasure { cpu, rss, ..PodMeasure::default() })
    });
    let memory = free.iter().enumerate().map(|(id, free)| {
        let node = NodeMemory {
            total: Bytes(NODE_MEMORY),
            free: Bytes(*free),
            inactive_file: Some(Bytes(free / 7)),
            low_watermark: None,
            reclaimed_used: Some(Bytes(NODE_MEMORY - free)),
        };
        (NumaNodeId(id as u16), node)
    });
    let busy = busy.iter().enumerate();
    Measured {
        pods: pods.collect(),
        cpu_busy_ratio: busy.map(|(id, n)| (CpuId(id as u16), f64::from(*n) / 1000.0)).collect(),
        memory: memory.collect(),
    }
}

/// A node, and the same seen twice.
struct Node {
    placement: PlacementPolicy,
    layout: Layout,
    ledger: Ledger,
    tally: Tally,
    pools: Pools,
}

impl Node {
    fn new(drafts: &[Draft], overlap: bool) -> Node {
        let placement = PlacementPolicy {
            reclaim_enabled: true,
            overlap_shared_reclaim: overlap,
            ..PlacementPolicy::default()
        };
        let layout = Layout::new(&topology(), &placement).expect("a machine");
        let ledger = ledger(drafts);
        let tally = Tally::of(&layout, &ledger, None, Timestamp(0));
        let pools = pools(&layout, &placement, &tally, &Held::default());
        Node { placement, layout, ledger, tally, pools }
    }

    fn input<'a>(
        &'a self,
        policy: &'a HeadroomPolicy,
        measured: &'a Measured,
        state: &'a HeadroomState,
        quota: &'a ReclaimQuota,
        now: Timestamp,
    ) -> HeadroomInput<'a> {
        HeadroomInput {
            placement: PlacementInput {
                now,
                layout: &self.layout,
                policy: &self.placement,
                ledger: &self.ledger,
                headroom: None,
            },
            tally: &self.tally,
            pools: &self.pools,
            policy,
            measured,
            measured_at: Some(now),
            quota,
            state,
        }
    }

    fn cpu_now(&self, policy: &HeadroomPolicy, measured: &Measured, state: &HeadroomState) -> u64 {
        let quota = ReclaimQuota::default();
        let input = self.input(policy, measured, state, &quota, Timestamp(0));
        momentary(&input).0.explained.value.expect("measured").0
    }
}

fn arb_drafts() -> impl Strategy<Value = Vec<Draft>> {
    let node = proptest::option::of(0..N_NODES);
    let draft = (any::<bool>(), node, 0u64..NODE_MEMORY, 0u64..6000, 0u64..NODE_MEMORY / 4);
    proptest::collection::vec(draft, 1..8)
}

fn arb_busy() -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::vec(0u16..=1000, usize::from(N_CPUS))
}

fn arb_free() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(0u64..=NODE_MEMORY, usize::from(N_NODES))
}

fn arb_policy() -> impl Strategy<Value = HeadroomPolicy> {
    let oversell = proptest::option::of((0.1f64..1.0, 1.0f64..2.0));
    (oversell, 1usize..5, 0u64..6000, 0u64..2000).prop_map(|(oversell, size, floor, reserve)| {
        let rule = |(target_util, max_oversold)| CpuOversell {
            target_util,
            max_oversold,
            max_util: Some((target_util + 1.0) / 2.0),
            max_capacity: 1.0,
        };
        let cpu_oversell = oversell.map(rule);
        let mut policy = HeadroomPolicy { cpu_oversell, ..HeadroomPolicy::default() };
        policy.cpu_report.window.size = size;
        policy.cpu_report.floor = Amount(floor);
        policy.cpu_report.reserve = Amount(reserve);
        policy.memory.reserve = Bytes(reserve * 100);
        policy.memory_report.ignore_below = Amount(0);
        policy.memory_report.window.size = size;
        policy
    })
}

/// Supply by the oracle: what is idle of the reclaim pool, and of the rest as much as reclaimed pods
/// used; each area for itself, which is never more than all together.
fn oracle_supply(node: &Node, drafts: &[Draft], busy: &[u16]) -> u64 {
    let pool: Vec<u16> = match node.pools.get("reclaim") {
        Some(pool) => pool.cpus.iter().map(|cpu| cpu.0).collect(),
        None => Vec::new(),
    };
    let idle: u64 = pool.iter().map(|cpu| 1000 - u64::from(busy[usize::from(*cpu)])).sum();
    let used: u64 = drafts.iter().filter(|draft| draft.0).map(|draft| draft.3).sum();
    (idle + used).min(pool.len() as u64 * 1000)
}

fn check_sums(told: &Headroom) -> Result<(), TestCaseError> {
    for one in [&told.cpu, &told.memory] {
        if let Ok(value) = &one.value {
            prop_assert_eq!(one.sum(), i128::from(value.0), "{}", one.text());
            let printed = one.text();
            let numbers = printed.lines().filter(|line| !line.contains("= "));
            let numbers = numbers.map(|line| line.split_whitespace().next().expect("a term"));
            let sum: i128 = numbers.map(|number| number.parse::<i128>().expect("a number")).sum();
            prop_assert_eq!(sum, i128::from(value.0), "{}", printed);
        }
    }
    let cpu: u64 = told.per_numa.values().filter_map(|part| part.cpu).map(|cpu| cpu.0).sum();
    let memory: u64 = told.per_numa.values().filter_map(|part| part.memory).map(|of| of.0).sum();
    prop_assert_eq!(cpu, told.cpu.value.as_ref().map_or(0, |value| value.0));
    prop_assert_eq!(memory, told.memory.value.as_ref().map_or(0, |value| value.0));
    Ok(())
}

proptest! {
    /// Ten ticks of changing load: everything adds up, nothing is told beyond what the oracle sees,
    /// and the same input gives the same answer.
    #[test]
    fn promises_add_up_and_are_there(
        drafts in arb_drafts(),
        policy in arb_policy(),
        overlap in any::<bool>(),
        ticks in proptest::collection::vec((arb_busy(), arb_free()), 10),
    ) {
        let node = Node::new(&drafts, overlap);
        let quota = ReclaimQuota::default();
        let mut state = HeadroomState::default();
        let oversold = policy.cpu_oversell.map_or(1.0, |rule| rule.max_oversold);
        for (tick, (busy, free)) in ticks.iter().enumerate() {
            let measured = measured(&drafts, busy, free);
            let now = Timestamp(0).after(Nanos::from_secs(30 * tick as u64));
            let input = node.input(&policy, &measured, &state, &quota, now);
            let (told, next) = headroom(&input);
            prop_assert_eq!(&headroom(&input), &(told.clone(), next.clone()));
            check_sums(&told)?;
            // Every area may be rounded up by half a unit.
            let most = oracle_supply(&node, &drafts, busy) as f64 * oversold + f64::from(N_NODES);
            let cpu = told.cpu.value.map_or(0, |value| value.0);
            prop_assert!(cpu as f64 <= most, "{cpu} of {most}");
            let there: u64 = free.iter().map(|free| NODE_MEMORY.min(free + free / 7 + NODE_MEMORY - free)).sum();
            let memory = told.memory.value.map_or(0, |value| value.0);
            prop_assert!(memory <= there, "{memory} of {there}");
            state = next;
        }
    }

    /// More use by shared pods, reclaimed use the same: never more headroom.
    #[test]
    fn more_work_of_others_never_raises_headroom(
        drafts in arb_drafts(),
        policy in arb_policy(),
        busy in arb_busy(),
        more in arb_busy(),
        last in proptest::collection::vec(0u64..8000, usize::from(N_NODES)),
    ) {
        let node = Node::new(&drafts, true);
        let parts = last.iter().enumerate().map(|(id, cpu)| (NumaNodeId(id as u16), MilliCpu(*cpu)));
        let state = HeadroomState { cpu_per_numa: parts.collect(), ..HeadroomState::default() };
        let free = vec![NODE_MEMORY; usize::from(N_NODES)];
        let busier: Vec<u16> = busy.iter().zip(&more).map(|(a, b)| (a + b).min(1000)).collect();
        // What reclaimed pods use is in both: it cannot be more than the time that was busy.
        let used: u64 = drafts.iter().filter(|draft| draft.0).map(|draft| draft.3).sum();
        let in_pool = node.pools.get("reclaim").map_or(Vec::new(), |pool| pool.cpus.iter().collect());
        let busy_in_pool: u64 = in_pool.iter().map(|cpu| u64::from(busy[usize::from(cpu.0)])).sum();
        prop_assume!(used <= busy_in_pool);
        let before = node.cpu_now(&policy, &measured(&drafts, &busy, &free), &state);
        let after = node.cpu_now(&policy, &measured(&drafts, &busier, &free), &state);
        // Parts of an area are rounded to a unit.
        prop_assert!(after <= before + u64::from(N_NODES), "{before} then {after}");
    }

    /// More memory of shared pods: never more headroom, by any rule.
    #[test]
    fn more_memory_of_others_never_raises_headroom(
        drafts in arb_drafts(),
        idx in 0usize..8,
        more in 0u64..NODE_MEMORY,
        free in arb_free(),
        rule in 0usize..3,
    ) {
        let mut policy = HeadroomPolicy::default();
        policy.memory.reserve = Bytes(0);
        policy.memory.rule = [
            MemoryRule::Canonical,
            MemoryRule::Util { free_ratio: 0.6, cache_ratio: 0.1, buffer: Bytes(1000) },
            MemoryRule::NumaAware { cache_ratio: 0.5, growth_ratio: 0.1, max_oversold: 1.0 },
        ][rule];
        let node = Node::new(&drafts, false);
        let mut fuller = drafts.clone();
        let shared = idx % drafts.len();
        prop_assume!(!drafts[shared].0);
        fuller[shared].4 += more;
        let busy = vec![0; usize::from(N_CPUS)];
        let quota = ReclaimQuota::default();
        let state = HeadroomState::default();
        let memory = |drafts: &[Draft], free: &[u64]| {
            let measured = measured(drafts, &busy, free);
            let input = node.input(&policy, &measured, &state, &quota, Timestamp(0));
            momentary(&input).1.explained.value.expect("measured").0
        };
        // What it takes was free before, on every node alike, and reclaimed work has no more.
        if rule == 2 {
            prop_assert!(memory(&drafts, &free) + more >= memory(&fuller, &free));
        } else {
            prop_assert!(memory(&fuller, &free) <= memory(&drafts, &free));
        }
    }

    /// The guard never limits under what is used, and mins of bound pods fit their node.
    #[test]
    fn memory_that_is_kept_is_there(
        drafts in arb_drafts(),
        free in arb_free(),
        min_percent in 0u8..=100,
        keep in 0u64..NODE_MEMORY,
    ) {
        let node = Node::new(&drafts, false);
        let mut policy = MemoryPolicy::default();
        policy.guard.enabled = true;
        policy.guard.keep_free = Bytes(keep);
        let measured = measured(&drafts, &vec![0; usize::from(N_CPUS)], &free);
        let Guard::Limit(limit) = guard(&policy, &node.layout, &measured) else {
            return Err(TestCaseError::fail("no limit"));
        };
        let used: u64 = free.iter().map(|free| NODE_MEMORY - free).sum();
        prop_assert!(limit.max.0 >= used && limit.max.0 <= NODE_MEMORY * u64::from(N_NODES));
        prop_assert!(limit.high <= limit.max);

        policy.protection.enabled = true;
        policy.protection.min_percent = min_percent;
        policy.protection.keep = Bytes(keep);
        let kept = protect(&policy.protection, &node.layout, &node.tally, &node.ledger);
        let mut by_nodes: BTreeMap<String, u64> = BTreeMap::new();
        for (uid, one) in &kept.pods {
            let mems = mems_of(&node.layout, &node.tally, &node.ledger.pods[uid]);
            *by_nodes.entry(mems.to_string()).or_default() += one.min.0;
            prop_assert!(one.min.0 <= node.ledger.pods[uid].ask.memory.0);
        }
        for id in 0..N_NODES {
            let sum = by_nodes.get(&id.to_string()).copied().unwrap_or_default();
            prop_assert!(sum <= NODE_MEMORY - keep, "{sum} on node {id}");
        }
        prop_assert!(kept.all.min.0 <= (NODE_MEMORY - keep) * u64::from(N_NODES));
    }
}
