//! Named cases of pools with the arithmetic; whole nodes are in `tests/it/placing.rs`.

mod edges;

use model::ledger::{Ledger, Place, Resident};
use model::qos::QosLevel;
use model::{NumaSet, Timestamp};

use super::*;
use crate::testkit::{ask, cpus, f16, layout_of};

#[track_caller]
fn check_regulate(n_cpus: usize, asked: &[u64], expect: &[usize]) {
    let asked: Vec<MilliCpu> = asked.iter().map(|milli| MilliCpu(*milli)).collect();
    assert_eq!(regulate(n_cpus, &asked).as_deref(), Some(expect));
}

#[test]
fn requests_that_fit_are_rounded_up() {
    check_regulate(14, &[], &[]);
    check_regulate(14, &[2000], &[2]);
    check_regulate(14, &[300, 2500, 0], &[1, 3, 1]);
    check_regulate(14, &[7000, 7000], &[7, 7]);
    // exactly all: in proportion the first of the two would lose a CPU
    check_regulate(9, &[0, 0, 0, 0, 2900, 2000], &[1, 1, 1, 1, 3, 2]);
}

#[test]
fn requests_that_do_not_fit_are_cut_in_proportion() {
    // ceil(7.5), ceil(2.5): 8 + 3, the largest gives one
    check_regulate(10, &[9000, 3000], &[7, 3]);
    // ceil(10 * 1/3) = 4 each: 12, the first two give one, since they are the first largest
    check_regulate(10, &[9000, 9000, 9000], &[3, 3, 4]);
    // one each is kept
    check_regulate(3, &[90_000, 1, 1], &[1, 1, 1]);
    check_regulate(10, &[90_000, 1, 1], &[8, 1, 1]);
    assert_eq!(regulate(1, &[MilliCpu(1), MilliCpu(1)]), None);
    check_regulate(4, &[u64::MAX, u64::MAX], &[2, 2]);
}

#[test]
fn overlap_is_spread_from_the_largest_pool_on() {
    let pools = [9, 8, 7];
    assert_eq!(overlap_sizes(2, &pools), Ok(vec![1, 1, 0]));
    assert_eq!(overlap_sizes(4, &pools), Ok(vec![2, 2, 0]));
    assert_eq!(overlap_sizes(8, &pools), Ok(vec![3, 3, 2]));
    assert_eq!(overlap_sizes(24, &pools), Ok(vec![9, 8, 7]));
    let error = overlap_sizes(30, &pools).expect_err("more than there is");
    assert_eq!(error.to_string(), "30 CPUs are to overlap, the pools have 24");
    assert_eq!(overlap_sizes(0, &[]), Ok(vec![]));
}

#[test]
fn pools_grow_in_proportion_and_the_rest_goes_to_the_largest() {
    let grow = |n, asked: &[u64], sizes: &[usize]| {
        let asked: Vec<MilliCpu> = asked.iter().map(|milli| MilliCpu(*milli)).collect();
        expand(n, &asked, sizes)
    };
    // 7 more over 1:2 is 2 and 4, and one for the larger
    assert_eq!(grow(10, &[1000, 2000], &[1, 2]), [3, 7]);
    assert_eq!(grow(10, &[0, 0], &[1, 1]), [5, 5]);
    assert_eq!(grow(2, &[1000, 2000], &[1, 2]), [1, 2]);
    // a single CPU is a rest; who asks for nothing gets nothing beside one who asks
    assert_eq!(grow(4, &[1000, 2000], &[1, 2]), [1, 3]);
    assert_eq!(grow(10, &[0, 2000], &[1, 2]), [1, 9]);
}

use super::size::expand;

fn settled(name: &str, level: QosLevel, milli: u64, place: Place) -> Resident {
    Resident { ask: ask(name, level, milli), place, ramp_until: None }
}

fn policy() -> PlacementPolicy {
    PlacementPolicy {
        reserve: model::policy::Reserve::Cpus(cpus("0,2")),
        reclaim_enabled: true,
        ..PlacementPolicy::default()
    }
}

#[track_caller]
fn check(policy: &PlacementPolicy, residents: &[Resident], expect: &str) {
    let layout = layout_of(&f16(), policy);
    let pods = residents.iter().map(|one| (one.ask.uid.clone(), one.clone()));
    let ledger = Ledger { pods: pods.collect(), ..Ledger::default() };
    let tally = Tally::of(&layout, &ledger, None, Timestamp(0));
    let pools = pools(&layout, policy, &tally, &Held::default());
    let rows = pools.iter().filter(|(name, _)| name.as_str() != "reserve");
    let rows: Vec<String> = rows.map(|(name, pool)| format!("{name} {}", pool.cpus)).collect();
    assert_eq!(rows.join(" | "), expect);
}

#[test]
fn an_empty_node_has_the_reserve_of_reclaim() {
    check(&policy(), &[], "reclaim 1,3-4,6");
    let three = PlacementPolicy { reclaim_reserve: ReclaimReserve::Count(3), ..policy() };
    check(&three, &[], "reclaim 1,3-4");
    let listed = ReclaimReserve::Cpus(cpus("0,14-15"));
    // 0 is the system's
    check(&PlacementPolicy { reclaim_reserve: listed, ..policy() }, &[], "reclaim 14-15");
    let forbidding = PlacementPolicy { forbidden: cpus("1,9"), ..policy() };
    check(&forbidding, &[], "interrupt 1,9 | reclaim 3-4,6,8");
}

#[test]
fn share_gets_its_requests_and_reclaim_the_rest() {
    let web = settled("web", QosLevel::SharedCores, 2500, Place::Pool);
    // 3 CPUs: core 1,9 of node 0, then one thread, of node 0 again
    check(&policy(), std::slice::from_ref(&web), "reclaim 3-7,10-15 | share 1,8-9");
    // reclaim off: 14 - 4 = 10 go to share, balanced: cores 1,9 3,11 4,12 6,14 5,13
    let off = PlacementPolicy { reclaim_enabled: false, ..policy() };
    check(&off, std::slice::from_ref(&web), "reclaim 7-8,10,15 | share 1,3-6,9,11-14");
    // overlap: share is everything; reclaim 14 - 2, the six whole cores
    let overlap = PlacementPolicy { overlap_shared_reclaim: true, ..policy() };
    check(&overlap, &[web], "reclaim 1,3-7,9,11-15 | share 1,3-15");
}

#[test]
fn a_bound_pool_has_its_node_and_others_stay_off_it() {
    let bound = settled("db", QosLevel::SharedCores, 300, Place::Node(NumaNodeId(0)));
    check(&policy(), std::slice::from_ref(&bound), "reclaim 3-15 | share-NUMA0 1");
    let overlap = PlacementPolicy { overlap_shared_reclaim: true, ..policy() };
    let web = settled("web", QosLevel::SharedCores, 20_000, Place::Pool);
    // 0.3 of node 0 is asked: all three are lent; 20 of 11 are asked: none, and reclaim keeps 4
    let expect = "reclaim 1,8-9,15 | share 3-7,10-15 | share-NUMA0 1,8-9";
    check(&overlap, &[bound, web], expect);
}

#[test]
fn dedicated_cpus_are_in_no_other_pool_while_there_is_another() {
    let own = |name, list: &str, nodes| {
        let place = Place::Own { cpus: cpus(list), nodes };
        settled(name, QosLevel::DedicatedCores, 2000, place)
    };
    let one = own("db", "1,8-9", NumaSet::single(NumaNodeId(0)));
    check(&policy(), &[one], "dedicated 1,8-9 | reclaim 3-7,10-15");
    let all = own("db", "1,3-15", NumaSet::EMPTY);
    // nobody reclaimed is here: nothing is lent but the reserve
    check(&policy(), std::slice::from_ref(&all), "dedicated 1,3-15 | reclaim 2");
    let batch = settled("ml", QosLevel::ReclaimedCores, 1000, Place::Pool);
    check(&policy(), &[all, batch], "dedicated 1,3-15 | reclaim 2");
}
