//! Edges of pools: what was held, how far reclaim grows, whom it borrows from when nothing is left,
//! machines with many nodes or nodes without CPUs.

use super::*;
use crate::testkit::{machine, offline};

fn ledger(residents: &[Resident]) -> Ledger {
    let pods = residents.iter().map(|one| (one.ask.uid.clone(), one.clone()));
    Ledger { pods: pods.collect(), ..Ledger::default() }
}

fn pools_of(
    topology: &model::Topology,
    policy: &PlacementPolicy,
    residents: &[Resident],
    held: &Held<'_>,
) -> Pools {
    let layout = layout_of(topology, policy);
    let tally = Tally::of(&layout, &ledger(residents), None, Timestamp(0));
    pools(&layout, policy, &tally, held)
}

/// The reclaim pool.
#[track_caller]
fn check_reclaim(
    topology: &model::Topology,
    policy: &PlacementPolicy,
    residents: &[Resident],
    expect: &str,
) {
    let pools = pools_of(topology, policy, residents, &Held::default());
    let cpus = pools.get("reclaim").map(|pool| pool.cpus.to_string());
    assert_eq!(cpus.unwrap_or_default(), expect);
}

fn web(milli: u64) -> Resident {
    settled("web", QosLevel::SharedCores, milli, Place::Pool)
}

fn batch() -> Resident {
    settled("ml", QosLevel::ReclaimedCores, 1000, Place::Pool)
}

fn own(list: &str) -> Resident {
    let place = Place::Own { cpus: cpus(list), nodes: NumaSet::EMPTY };
    settled("db", QosLevel::DedicatedCores, 1000, place)
}

#[test]
fn reclaim_grows_no_further_than_it_may() {
    /// `held` had reclaim before, which may have `most` now.
    #[track_caller]
    fn check((held, most): (&str, usize), expect: &str) {
        let pool = PoolPlan { cpus: cpus(held), need: MilliCpu(0) };
        let before = Pools::from([(PoolName::from("reclaim"), pool)]);
        let held = Held { pools: Some(&before), max_reclaim: Some(most) };
        let pools = pools_of(&f16(), &policy(), &[web(2000)], &held);
        assert_eq!(pools["reclaim"].cpus.to_string(), expect);
    }
    // share is 1,9; of the other twelve so many as may be, those of before first
    check(("4-5,12-13", 12), "3-8,10-15");
    check(("4-5,12-13", 20), "3-8,10-15");
    check(("4-5,12-13", 6), "4-5,7,12-13,15");
    check(("4-5,12-13", 5), "4-5,12-13,15");
    // its four are its own whatever it may have
    check(("4-5,12-13", 1), "4-5,12-13");
    check(("", 0), "5,7,13,15");
}

#[test]
fn pools_say_what_their_pods_ask_for() {
    let pools = pools_of(&f16(), &policy(), &[web(2500), own("4-5")], &Held::default());
    let needs: Vec<(&str, u64)> =
        pools.iter().map(|(name, pool)| (name.as_str(), pool.need.0)).collect();
    assert_eq!(needs, [("dedicated", 0), ("reclaim", 0), ("reserve", 0), ("share", 2500)]);
}

#[test]
fn reclaim_keeps_a_cpu_of_each_node_where_there_are_more_than_four() {
    let policy = PlacementPolicy::default();
    check_reclaim(&machine(6, 2, 1), &policy, &[], "0,2,4,6,8,10");
    check_reclaim(&machine(3, 2, 1), &policy, &[], "0-2,4");
    check_reclaim(&machine(6, 1, 1), &policy, &[], "0-5");
    // a node without CPUs does not count
    let mut topology = machine(6, 2, 1);
    for cpu in [10, 11] {
        offline(&mut topology, cpu);
    }
    check_reclaim(&topology, &policy, &[], "0,2,4,6,8");
}

#[test]
fn what_reclaim_keeps_is_of_what_is_free() {
    // four CPUs are free: reclaim keeps them all, and share grows into none
    let policy = PlacementPolicy { reclaim_enabled: false, ..policy() };
    check(&policy, &[own("1,3-11"), web(1000)], "dedicated 1,3-11 | reclaim 12-15 | share 12");
}

#[test]
fn a_reclaimed_pod_has_a_cpu_though_nothing_is_kept() {
    let policy = PlacementPolicy { reclaim_reserve: ReclaimReserve::Count(0), ..policy() };
    check_reclaim(&f16(), &policy, &[web(14_000)], "");
    check_reclaim(&f16(), &policy, &[web(14_000), batch()], "15");
}

#[test]
fn the_last_to_lend_is_an_owner_and_never_the_interrupt_pool() {
    let policy = PlacementPolicy { forbidden: cpus("15"), ..PlacementPolicy::default() };
    check_reclaim(&f16(), &policy, &[own("0-14"), batch()], "14");
    check_reclaim(&f16(), &policy, &[own("0-14")], "");
}

#[test]
fn a_pool_of_new_pods_takes_nothing_yet() {
    let mut new = settled("new", QosLevel::SharedCores, 2000, Place::Pool);
    new.ask.wish.cpuset_pool = Some(PoolName::from("share-new"));
    new.ramp_until = Some(Timestamp(1));
    check(&policy(), &[new.clone(), web(1000)], "reclaim 3-15 | share 1");
    new.ramp_until = None;
    check(&policy(), &[new, web(1000)], "reclaim 4-10,12-15 | share 1 | share-new 3,11");
}

#[test]
fn only_whole_cpus_that_are_asked_for_are_withheld() {
    let overlap = PlacementPolicy { overlap_shared_reclaim: true, ..policy() };
    for (asked, lent) in [(2999, 12), (3000, 11), (3001, 11)] {
        let pools = pools_of(&f16(), &overlap, &[web(asked)], &Held::default());
        assert_eq!(pools["reclaim"].cpus.len(), lent, "{asked}");
    }
}

#[test]
fn system_pods_have_memory_everywhere() {
    let system = settled("log", QosLevel::SystemCores, 0, Place::Pool);
    let place = Place::Own { cpus: cpus("1,8-9"), nodes: NumaSet::single(NumaNodeId(0)) };
    let owner = settled("db", QosLevel::DedicatedCores, 2000, place);
    let layout = layout_of(&f16(), &policy());
    let tally =
        Tally::of(&layout, &ledger(&[system.clone(), owner, web(1000)]), None, Timestamp(0));
    let mems = |one: &Resident| mems_of(&layout, &tally, one).to_string();
    assert_eq!((mems(&system), mems(&web(1000))), ("0-3".into(), "1-3".into()));
}
