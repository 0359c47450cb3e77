//! Admission on machines of up to eight CPUs against brute force (`oracle`): a pod is refused only if
//! no set of CPUs would do, and every promise is kept after each step.

use std::collections::BTreeMap;

use advisor::admit::{admit, placement_of, remove, resize};
use advisor::hint::{Hints, PlacementInput, hints};
use advisor::layout::Layout;
use advisor::pool::{Held, Pools, placement, pools};
use advisor::tally::Tally;
use model::ledger::{Ledger, Place, Resident};
use model::placement::PlacementPolicy;
use model::pod::Ask;
use model::policy::Reserve;
use model::qos::QosLevel;
use model::{MilliCpu, Nanos, Timestamp, Topology};
use proptest::prelude::*;

use crate::oracle::{Form, N_WISHES, Oracle, Set, ask, set, topology};

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

fn arb_shape() -> impl Strategy<Value = Form> {
    (1u16..3, 1u16..3, 1u16..3, 1u16..5, 1u16..3)
        .prop_filter("up to 8 CPUs", |(s, n, l, c, t)| s * n * l * c * t <= 8)
}

/// What a dedicated pod has is what it wished.
fn check_wish(oracle: &Oracle, resident: &Resident) -> Result<(), TestCaseError> {
    let Place::Own { cpus, nodes } = resident.place else { return Ok(()) };
    let nodes: Set = nodes.iter().map(|node| node.0).collect();
    let kept = nodes.is_empty() || oracle.keeps(&resident.ask.wish, &nodes, &set(&cpus));
    prop_assert!(kept, "{:?} has {}", resident.ask, cpus);
    Ok(())
}

/// Level, thousandths, wish, seconds that pass before.
fn arb_pods() -> impl Strategy<Value = Vec<(usize, u64, u8, u64)>> {
    let milli = prop_oneof![0u64..4000, (0u64..6).prop_map(|cpus| cpus * 1000)];
    proptest::collection::vec((0usize..4, milli, 0u8..N_WISHES, 0u64..20), 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

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
            check_wish(&oracle, &admission.resident)?;
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
            let input = input(&layout, &policy, &before);
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

    /// Pods that are here ask for more or less: refused only if it cannot be had where they are, and
    /// what they get is what they wished.
    #[test]
    fn a_resize_is_refused_only_if_impossible(
        shape in arb_shape(),
        pods in arb_pods(),
        resizes in proptest::collection::vec((0usize..8, 0u64..6000), 1..6),
    ) {
        let topology = topology(shape, None);
        let policy = PlacementPolicy::default();
        let layout = Layout::new(&topology, &policy).expect("a machine");
        let mut ledger = Ledger::default();
        for (idx, (level, milli, wish, _)) in pods.into_iter().enumerate() {
            let ask = ask(idx, QosLevel::ALL[level], milli, wish);
            let before = ledger.clone();
            if let Ok(admission) = admit(&input(&layout, &policy, &before), &ask, None) {
                ledger.pods.insert(ask.uid.clone(), admission.resident);
            }
        }
        for (idx, milli) in resizes {
            let before = ledger.clone();
            let Some(resident) = before.pods.values().nth(idx % before.pods.len().max(1)) else {
                return Ok(());
            };
            let ask = Ask { cpu: MilliCpu(milli), ..resident.ask.clone() };
            let mut others = before.clone();
            others.pods.remove(&ask.uid);
            let oracle = Oracle::new(&topology, &Set::new(), &others);
            let said = resize(&input(&layout, &policy, &before), &ask);
            let possible = oracle.could_stay(&resident.place, &ask);
            prop_assert_eq!(said.is_ok(), possible, "{:?} {:?}", resident, said);
            let Ok(admission) = said else { continue };
            check_wish(&oracle, &admission.resident)?;
            ledger.pods.insert(ask.uid.clone(), admission.resident);
            check_state(&topology, &input(&layout, &policy, &ledger), &Set::new())?;
        }
    }
}

fn input<'a>(
    layout: &'a Layout,
    policy: &'a PlacementPolicy,
    ledger: &'a Ledger,
) -> PlacementInput<'a> {
    PlacementInput { now: Timestamp(0), layout, policy, ledger, headroom: None }
}
