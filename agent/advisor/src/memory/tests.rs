//! Named cases of memory, the arithmetic beside each; properties are in `tests/it/promising.rs`.

use std::collections::BTreeMap;

use model::ledger::{Ledger, Place, Resident};
use model::measured::{Measured, NodeMemory};
use model::memory::{BinderState, MemoryPolicy};
use model::placement::PlacementPolicy;
use model::qos::QosLevel;
use model::topology::Shape;
use model::{Bytes, NumaNodeId, NumaSet, Timestamp, Topology};

use super::guard::{Guard, guard};
use super::protect::protect;
use super::{binder, fit, oom};
use crate::hint::PlacementInput;
use crate::tally::Tally;
use crate::testkit::{SECOND, asking, cpus, f16, layout_of};

const GIB: u64 = 1 << 30;

fn node(total: u64, free: u64, reclaimed: Option<u64>, low: Option<u64>) -> NodeMemory {
    NodeMemory {
        total: Bytes(total * GIB),
        free: Bytes(free * GIB),
        inactive_file: None,
        low_watermark: low.map(|gib| Bytes(gib * GIB)),
        reclaimed_used: reclaimed.map(|gib| Bytes(gib * GIB)),
    }
}

fn four(node: NodeMemory) -> Measured {
    let memory = (0..4).map(|id| (NumaNodeId(id), node)).collect();
    Measured { memory, ..Measured::default() }
}

fn guarded() -> MemoryPolicy {
    let mut policy = MemoryPolicy { watermark_scale: 500, ..MemoryPolicy::default() };
    policy.guard.enabled = true;
    policy
}

#[track_caller]
fn check_guard(policy: &MemoryPolicy, measured: &Measured, max: u64, high: u64) {
    let layout = layout_of(&f16(), &PlacementPolicy::default());
    let Guard::Limit(limit) = guard(policy, &layout, measured) else {
        panic!("there is no limit");
    };
    assert_eq!((limit.max, limit.high), (Bytes(max), Bytes(high)));
    assert_eq!(limit.explained.sum(), i128::from(max), "{}", limit.explained.text());
    assert_eq!(limit.per_node.values().map(|part| part.0).sum::<u64>(), max);
}

#[test]
fn the_guard_leaves_the_watermark_free() {
    // 4 * (6 + 60 - max(4, 120 * 0.05)), high = floor(0.95 * max)
    check_guard(&guarded(), &four(node(120, 60, Some(6), None)), 240 * GIB, 244_813_135_872);
    // 4 * (6 + 60 - 20)
    check_guard(&guarded(), &four(node(120, 60, Some(6), Some(20))), 184 * GIB, 187_690_070_835);
    // nothing is free: what it has, it keeps
    check_guard(&guarded(), &four(node(120, 0, Some(6), None)), 24 * GIB, 24_481_313_587);
    // keep_free is more than the watermark: 4 * (60 - 4)
    check_guard(&guarded(), &four(node(10, 60, Some(0), None)), 224 * GIB, 228_492_260_147);
}

#[test]
fn the_guard_touches_nothing_that_it_does_not_know() {
    let layout = layout_of(&f16(), &PlacementPolicy::default());
    let unknown = four(node(120, 60, None, None));
    assert!(matches!(guard(&guarded(), &layout, &unknown), Guard::LeaveAlone(_)));
    assert!(matches!(guard(&guarded(), &layout, &Measured::default()), Guard::LeaveAlone(_)));
    assert_eq!(guard(&MemoryPolicy::default(), &layout, &unknown), Guard::Unlimited);
}

fn resident(name: &str, level: QosLevel, place: Place, gib: u64) -> Resident {
    let mut ask = asking(name, level, 1000, &[]);
    ask.memory = Bytes(gib * GIB);
    Resident { ask, place, ramp_until: None }
}

fn ledger(pods: &[Resident]) -> Ledger {
    let pods = pods.iter().map(|one| (one.ask.uid.clone(), one.clone())).collect();
    Ledger { pods, ..Ledger::default() }
}

/// Free GiB of each of four nodes with a low watermark of 1, and the mems of a reclaimed pod then.
#[track_caller]
fn check_mems(place: Place, free: [u64; 4], expect: &str) {
    let mut policy = MemoryPolicy::default();
    policy.binder.enabled = true;
    let mut measured = four(node(120, 60, None, Some(1)));
    for (node, free) in measured.memory.values_mut().zip(free) {
        node.free = Bytes(free * GIB);
    }
    let layout = layout_of(&f16(), &PlacementPolicy::default());
    let batch = resident("batch", QosLevel::ReclaimedCores, place, 1);
    let web = resident("web", QosLevel::SharedCores, Place::Pool, 1);
    let tally = Tally::of(&layout, &ledger(&[batch.clone(), web.clone()]), None, Timestamp(0));
    let state = binder::observe(&policy, &BinderState::default(), &measured, Timestamp(0));
    assert_eq!(binder::mems(&layout, &tally, &state, &batch).to_string(), expect);
    assert_eq!(binder::mems(&layout, &tally, &state, &web).to_string(), "0-3");
}

#[test]
fn reclaimed_pods_leave_nodes_under_pressure() {
    check_mems(Place::Pool, [60, 60, 60, 60], "0-3");
    check_mems(Place::Pool, [1, 60, 60, 60], "1-3");
    check_mems(Place::Pool, [1, 0, 60, 60], "2-3");
    // 2 GiB is twice the watermark: not under it
    check_mems(Place::Pool, [2, 60, 60, 60], "0-3");
    // never empty
    check_mems(Place::Pool, [0, 0, 0, 0], "0-3");
    check_mems(Place::Node(NumaNodeId(0)), [0, 60, 60, 60], "0");
}

#[test]
fn a_node_is_calm_only_after_a_minute_of_enough() {
    let mut policy = MemoryPolicy::default();
    policy.binder.enabled = true;
    let mut state = BinderState::default();
    let mut seen = Vec::new();
    // free GiB at seconds; the watermark is 1: pressure under 2, calm from 4 on
    for (s, free) in [(0, 3), (10, 1), (20, 3), (30, 4), (80, 3), (90, 5), (149, 5), (150, 5)] {
        let measured = four(node(120, free, None, Some(1)));
        state = binder::observe(&policy, &state, &measured, Timestamp(s * SECOND));
        seen.push(state.pressured.contains_key(&NumaNodeId(0)));
    }
    assert_eq!(seen, [false, true, true, true, true, true, true, false]);
    let pressed = four(node(120, 0, None, Some(1)));
    let state = binder::observe(&policy, &state, &pressed, Timestamp(0));
    // not measured: as it was
    let after = binder::observe(&policy, &state, &Measured::default(), Timestamp(999 * SECOND));
    assert_eq!(after, state);
    policy.binder.enabled = false;
    assert_eq!(binder::observe(&policy, &state, &pressed, Timestamp(0)), BinderState::default());
}

/// Two nodes of 64 GiB, 8 CPUs each.
fn two() -> Topology {
    Topology::synthetic(Shape {
        sockets: 1,
        nodes_per_socket: 2,
        llcs_per_node: 1,
        cores_per_llc: 8,
        threads_per_core: 1,
        memory_per_node: Bytes(64 * GIB),
    })
}

#[track_caller]
fn check_fit(others: &[Resident], new: &Resident, expect: Result<(), &str>) {
    let policy = PlacementPolicy::default();
    let (layout, ledger) = (layout_of(&two(), &policy), ledger(others));
    let now = Timestamp(0);
    let input =
        PlacementInput { now, layout: &layout, policy: &policy, ledger: &ledger, headroom: None };
    let tally = Tally::of(&layout, &ledger, None, now);
    let got = fit::check(&input, &tally, new).map_err(|refusal| refusal.to_string());
    assert_eq!(got, expect.map_err(str::to_owned));
}

#[test]
fn memory_must_fit_the_nodes_of_a_pod() {
    let shared = QosLevel::SharedCores;
    let on = |node| Place::Node(NumaNodeId(node));
    check_fit(&[], &resident("a", shared, Place::Pool, 128), Ok(()));
    check_fit(&[], &resident("a", shared, on(1), 64), Ok(()));
    let error = "memory: NUMA nodes 1 have 68719476736 bytes; pods that can only be there ask 0 \
                 already, and this pod asks 69793218560";
    check_fit(&[], &resident("a", shared, on(1), 65), Err(error));
    let web = resident("web", shared, Place::Pool, 100);
    let error = "memory: NUMA nodes 0-1 have 137438953472 bytes; pods that can only be there ask \
                 107374182400 already, and this pod asks 31138512896";
    check_fit(std::slice::from_ref(&web), &resident("a", shared, Place::Pool, 29), Err(error));
    // node 1 has room, but the others would be left with node 0
    let error = "memory: NUMA nodes 0 have 68719476736 bytes; pods that can only be there ask \
                 107374182400 already, and this pod asks 10737418240";
    check_fit(std::slice::from_ref(&web), &resident("a", shared, on(1), 10), Err(error));
    // reclaimed pods are not compared
    let batch = resident("batch", QosLevel::ReclaimedCores, Place::Pool, 500);
    check_fit(&[web], &batch, Ok(()));
    let own = Place::Own { cpus: cpus("0-7"), nodes: NumaSet::single(NumaNodeId(0)) };
    let db = resident("db", QosLevel::DedicatedCores, own, 60);
    check_fit(&[resident("web", shared, Place::Pool, 64)], &db, Ok(()));
    check_fit(
        &[db],
        &resident("a", shared, Place::Pool, 65),
        Err(
            "memory: NUMA nodes 1 have 68719476736 bytes; pods that can only be there ask 0 already, \
         and this pod asks 69793218560",
        ),
    );
}

#[track_caller]
fn check_min(pods: &[Resident], expect: &[u64]) {
    let layout = layout_of(&two(), &PlacementPolicy::default());
    let ledger = ledger(pods);
    let tally = Tally::of(&layout, &ledger, None, Timestamp(0));
    let mut policy = MemoryPolicy::default().protection;
    (policy.enabled, policy.min_percent, policy.keep) = (true, 100, Bytes(4 * GIB));
    let all = protect(&policy, &layout, &tally, &ledger);
    let mins: Vec<u64> = all.pods.values().map(|one| one.min.0 / GIB).collect();
    assert_eq!(mins, expect);
    assert_eq!(all.all.min.0, all.pods.values().map(|one| one.min.0).sum::<u64>());
    assert!(all.pods.values().all(|one| one.min <= one.low));
    policy.enabled = false;
    assert_eq!(protect(&policy, &layout, &tally, &ledger).pods, BTreeMap::new());
}

#[test]
fn protection_never_exceeds_a_node() {
    let shared = QosLevel::SharedCores;
    let on = |node| Place::Node(NumaNodeId(node));
    check_min(&[], &[]);
    check_min(&[resident("a", shared, Place::Pool, 10)], &[10]);
    // 90 on a node of 60: two thirds each
    check_min(&[resident("a", shared, on(0), 30), resident("b", shared, on(0), 60)], &[20, 40]);
    // 240 over both nodes, 120 are there
    check_min(&[resident("a", shared, Place::Pool, 240)], &[120]);
    // reclaimed and system pods are not protected
    let batch = resident("a", QosLevel::ReclaimedCores, Place::Pool, 10);
    let log = resident("b", QosLevel::SystemCores, Place::Pool, 10);
    check_min(&[batch, log, resident("c", shared, Place::Pool, 8)], &[8]);
}

#[test]
fn scores_keep_the_order_of_priorities() {
    for (priority, expect) in [
        (-300, None),
        (-299, Some(1000)),
        // BestEffort of kubelet
        (-100, Some(1000)),
        (-1, Some(901)),
        (0, Some(900)),
        (10, Some(810)),
        (99, Some(9)),
        (100, Some(-800)),
        (150, Some(-850)),
        (299, Some(-999)),
        (300, Some(-1000)),
        (i32::MAX, Some(-1000)),
    ] {
        assert_eq!(oom::score_adj(priority), expect, "{priority}");
    }
    let scores = (-100..=300).map(|priority| oom::score_adj(priority).expect("compared"));
    assert!(scores.collect::<Vec<_>>().windows(2).all(|pair| pair[0] > pair[1]));
}
