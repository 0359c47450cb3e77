//! Named cases with the arithmetic, and properties with an oracle of plain sets.

use std::collections::BTreeSet;

use model::placement::PlacementPolicy;
use model::topology::Shape;
use model::{Bytes, CpuId, Topology};
use proptest::prelude::*;

use super::*;
use crate::testkit::{cpus, f16, machine, offline};

fn layout(topology: &Topology) -> Layout {
    Layout::new(topology, &PlacementPolicy::default()).expect("a machine")
}

/// One node, groups of four CPUs of one thread under each cache.
fn caches(n: u16) -> Layout {
    layout(&Topology::synthetic(Shape {
        sockets: 1,
        nodes_per_socket: 1,
        llcs_per_node: n,
        cores_per_llc: 4,
        threads_per_core: 1,
        memory_per_node: Bytes(1),
    }))
}

#[track_caller]
fn check_pack(layout: &Layout, free: &str, n: usize, expect: &str) {
    let taken = by_topology(layout, &cpus(free), n, Cache::Align).expect("enough");
    assert_eq!(taken.to_string(), expect);
}

#[test]
fn nothing_asked_is_nothing_taken_and_all_is_all() {
    check_pack(&layout(&machine(1, 4, 1)), "0-3", 0, "");
    check_pack(&layout(&machine(1, 4, 1)), "", 0, "");
    check_pack(&layout(&machine(1, 4, 1)), "0-3", 4, "0-3");
    let short = by_topology(&layout(&f16()), &cpus("1,3"), 3, Cache::Align).expect_err("short");
    assert_eq!(short.to_string(), "3 CPUs are asked for and 2 are free: 1,3");
}

#[test]
fn whole_sockets_then_whole_cores_then_threads() {
    let f16 = layout(&f16());
    // socket 0 is CPUs 0-3,8-11; socket 1 is whole, so it goes first
    check_pack(&f16, "1,3-15", 8, "4-7,12-15");
    check_pack(&f16, "1,3-15", 10, "1,4-7,9,12-15");
    // no whole socket: socket 0 has the fewest free CPUs (6); its whole cores are 1,9 and 3,11
    let cores = by_topology(&f16, &cpus("1,3-15"), 4, Cache::Ignore).expect("enough");
    assert_eq!(cores, cpus("1,3,9,11"));
    // one thread more: core 0 has one free thread, 8
    let odd = by_topology(&f16, &cpus("1,3-15"), 5, Cache::Ignore).expect("enough");
    assert_eq!(odd, cpus("1,3,8-9,11"));
    // a whole socket is not broken into cores of a fuller one
    let socket = by_topology(&f16, &cpus("1,3-15"), 8, Cache::Ignore).expect("enough");
    assert_eq!(socket, cpus("4-7,12-15"));
    // four CPUs of two-thread cores
    check_pack(&layout(&machine(1, 4, 2)), "0-7", 4, "0-1,4-5");
}

#[test]
fn a_cache_that_fits_exactly_then_the_smallest_that_is_large_enough() {
    let four = caches(4);
    // exact: the second group
    check_pack(&four, "0-2,4-7,8-9", 2, "8-9");
    check_pack(&four, "0-2,4-7,8-9", 3, "0-2");
    check_pack(&four, "0,4-7", 1, "0");
    // no group of 1: the smallest larger one is 8-9
    check_pack(&four, "0-2,4-7,8-9", 1, "8");
    // 10 of 0-3 whole, 5-7, 9-11, 13-15: 0-3 is the largest, then 5-7 and 9-11 are as large
    check_pack(&four, "0-3,5-7,9-11,13-15", 10, "0-3,5-7,9-11");
    check_pack(&four, "0-3,5-7,9-11,13-15", 9, "0-3,5-7,9-10");
}

#[track_caller]
fn check_balanced(free: &str, n: usize, end: End, expect: &str) {
    let taken = balanced(&layout(&f16()), &cpus(free), n, end).expect("enough");
    assert_eq!(taken.to_string(), expect);
}

#[test]
fn balance_takes_cores_of_each_node_in_turn() {
    // node 0 {0,1,8,9}, 1 {2,3,10,11}, 2 {4,5,12,13}, 3 {6,7,14,15}
    check_balanced("1,3-15", 1, End::Low, "1");
    check_balanced("1,3-15", 2, End::Low, "1,9");
    check_balanced("1,3-15", 4, End::Low, "1,3,9,11");
    check_balanced("1,3-15", 5, End::Low, "1,3,8-9,11");
    check_balanced("1,3-15", 4, End::High, "5,7,13,15");
    check_balanced("1,3-15", 1, End::High, "15");
    check_balanced("1,3-15", 14, End::Low, "1,3-15");
}

#[test]
fn balance_by_thread_takes_one_of_each_node() {
    let take = |n, end| threads_balanced(&layout(&f16()), &cpus("1,3-15"), n, end);
    assert_eq!(take(4, End::Low), Ok(cpus("1,3-4,6")));
    assert_eq!(take(5, End::Low), Ok(cpus("1,3-4,6,8")));
    assert_eq!(take(4, End::High), Ok(cpus("9,11,13,15")));
}

#[track_caller]
fn check_keeping(free: &str, held: &str, n: usize, end: End, expect: &str) {
    let taken = keeping(&layout(&f16()), &cpus(free), &cpus(held), n, end);
    assert_eq!(taken.to_string(), expect, "{n} of {free}, held {held}");
}

#[test]
fn what_is_held_stays_and_its_cores_are_filled_up_first() {
    // the sibling of 5 is 13, whatever balance would say
    check_keeping("0-15", "5", 2, End::Low, "5,13");
    check_keeping("0-15", "5,6", 3, End::Low, "5-6,13");
    // 13 is somebody else's: core 0,8 of the first node
    check_keeping("0-12", "5", 3, End::Low, "0,5,8");
    // fewer than held: whole cores stay
    check_keeping("0-15", "5-6,13", 2, End::Low, "5,13");
    check_keeping("0-15", "1,3", 1, End::Low, "1");
    check_keeping("0-15", "1,3", 1, End::High, "3");
    // held CPUs that are not free are gone; no more than there are
    check_keeping("0-3", "5", 2, End::Low, "0,2");
    check_keeping("0-3", "5", 9, End::Low, "0-3");
    check_keeping("0-3", "", 0, End::Low, "");
}

#[test]
fn kinds_of_cores_are_not_mixed_while_one_has_enough() {
    // cores 0-3 are fast with two threads, CPUs 4-7 of this machine are slow
    let mut hybrid = machine(1, 8, 1);
    hybrid.efficiency = cpus("4-7");
    let hybrid = layout(&hybrid);
    check_pack(&hybrid, "0-7", 3, "0-2");
    check_pack(&hybrid, "0-1,4-7", 3, "4-6");
    // exactly enough is enough
    check_pack(&hybrid, "0-1,4-7", 2, "0-1");
    check_pack(&hybrid, "0,4-6", 3, "4-6");
    check_pack(&hybrid, "0-7", 6, "0-5");
    let low = balanced(&hybrid, &cpus("0-7"), 2, End::Low).expect("enough");
    let high = balanced(&hybrid, &cpus("0-7"), 2, End::High).expect("enough");
    assert_eq!((low, high), (cpus("0-1"), cpus("6-7")));
}

#[test]
fn an_offline_cpu_is_never_taken() {
    let mut topology = f16();
    offline(&mut topology, 4);
    let layout = layout(&topology);
    check_pack(&layout, "4-5,12-13", 3, "5,12-13");
    let short = by_topology(&layout, &cpus("4-5"), 2, Cache::Align).expect_err("one is offline");
    assert_eq!(short.n_free, 1);
    // 12 alone is a whole core now
    assert_eq!(balanced(&layout, &cpus("4,12"), 1, End::Low), Ok(cpus("12")));
}

fn arb_case() -> impl Strategy<Value = (Topology, BTreeSet<u16>, usize)> {
    let shape = (1u16..3, 1u16..3, 1u16..3, 1u16..4, 1u16..3);
    (shape, proptest::collection::btree_set(0u16..72, 0..72), 0usize..80).prop_map(
        |((sockets, nodes, llcs, cores, threads), free, n)| {
            let topology = Topology::synthetic(Shape {
                sockets,
                nodes_per_socket: nodes,
                llcs_per_node: llcs,
                cores_per_llc: cores,
                threads_per_core: threads,
                memory_per_node: Bytes(1),
            });
            (topology, free, n)
        },
    )
}

proptest! {
    /// Exactly so many, all of them free and online, or refused because there are too few.
    #[test]
    fn takes_exactly_what_is_asked_from_what_is_free((topology, free, n) in arb_case()) {
        let layout = layout(&topology);
        let set: CpuSet = free.iter().copied().map(CpuId).collect();
        let there = free.iter().filter(|cpu| topology.cpus.contains_key(&CpuId(**cpu))).count();
        for taken in [
            by_topology(&layout, &set, n, Cache::Align),
            by_topology(&layout, &set, n, Cache::Ignore),
            balanced(&layout, &set, n, End::Low),
            balanced(&layout, &set, n, End::High),
            threads_balanced(&layout, &set, n, End::Low),
        ] {
            prop_assert_eq!(taken.is_ok(), n <= there);
            if let Ok(taken) = taken {
                prop_assert_eq!(taken.len(), n);
                prop_assert!(taken.iter().all(|cpu| free.contains(&cpu.0)));
            }
        }
    }

    /// The oracle counts splits: with only whole cores free, packing splits at most one.
    #[test]
    fn packing_splits_at_most_one_core((topology, picks, n) in arb_case()) {
        let layout = layout(&topology);
        let cores: Vec<Vec<CpuId>> =
            topology.cores().values().map(|core| core.iter().collect()).collect();
        let whole = picks.iter().filter_map(|idx| cores.get(usize::from(*idx)));
        let free: CpuSet = whole.flatten().copied().collect();
        if let Ok(taken) = by_topology(&layout, &free, n, Cache::Align) {
            let part = |core: &&Vec<CpuId>| {
                let held = core.iter().filter(|cpu| taken.contains(**cpu)).count();
                held > 0 && held < core.len()
            };
            prop_assert!(cores.iter().filter(part).count() <= 1);
        }
    }

    /// No node has two threads more than another that still has free ones.
    #[test]
    fn threads_are_spread_evenly((topology, free, n) in arb_case()) {
        let layout = layout(&topology);
        let set: CpuSet = free.iter().copied().map(CpuId).collect();
        if let Ok(taken) = threads_balanced(&layout, &set, n, End::Low) {
            let held = |node: &model::topology::NumaNode| {
                let of = |set: &CpuSet| set.iter().filter(|cpu| node.cpus.contains(*cpu)).count();
                (of(&taken), of(&set) > of(&taken))
            };
            let held: Vec<(usize, bool)> = topology.nodes.values().map(held).collect();
            let most = held.iter().map(|(n, _)| *n).max().unwrap_or(0);
            prop_assert!(held.iter().all(|(n, has_more)| !has_more || n + 1 >= most));
        }
    }
}
