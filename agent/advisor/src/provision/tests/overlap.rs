//! Measured sizes where share pools take all CPUs and reclaimed work runs on what they do not need.

use super::*;

fn overlapping() -> Node {
    let mut node = Node::new(SizeRule::Canonical);
    node.policy.overlap_shared_reclaim = true;
    node.provision.ramp.min_cpus = 1;
    node
}

/// The share pool has all 48 CPUs; how many of them reclaim has too.
#[track_caller]
fn check_lent(asked: u64, expect: usize) {
    let mut node = overlapping();
    node.pod("web", asked, Place::Pool);
    let pools = node.tick(5);
    assert_eq!((pools["share"], pools["reclaim"]), (48, expect), "{asked}");
}

#[test]
fn reclaim_has_what_pools_do_not_need_and_what_it_keeps() {
    check_lent(10_000, 38);
    check_lent(10_001, 37);
    // a pool with a pod in it needs a CPU
    check_lent(1, 47);
    check_lent(40_000, 8);
    // 48 - 45 = 3 is less than the eight that it keeps
    check_lent(45_000, 8);
}

#[test]
fn isolated_pods_lend_nothing() {
    let mut node = overlapping();
    node.provision.isolation.enabled = true;
    node.provision.isolation.max_cpu_ratio = 1.0;
    node.provision.ramp.max_down = 48;
    node.provision.ramp.down_every = model::Nanos(0);
    node.pod("web", 10_000, Place::Pool);
    node.pod("noisy", 4000, Place::Pool);
    node.measure("noisy", 4000, None, Some(20.0));
    let pools = (0..3).map(|_| node.tick(5)).last().expect("a tick");
    // the pool has the other 44 and needs 10 of them
    let sizes = (pools["isolation-noisy"], pools["share"], pools["reclaim"]);
    assert_eq!(sizes, (4, 44, 34));
}

#[test]
fn a_pool_of_a_small_machine_leaves_what_reclaim_keeps() {
    let mut node = Node::new(SizeRule::Canonical);
    node.policy.reclaim_reserve = ReclaimReserve::Count(4);
    node.layout = layout_of(&machine(1, 5, 1), &node.policy);
    node.pod("web", 3000, Place::Pool);
    let pools = node.tick(5);
    assert_eq!((pools["share"], pools["reclaim"]), (1, 4));
    // two pools do not fit the one CPU: then all five are theirs
    node.pod("db", 1000, Place::Node(NumaNodeId(0)));
    node.ledger.pods.remove(&PodUid::from("web"));
    node.pod("b", 3000, Place::Node(NumaNodeId(0)));
    assert_eq!(node.tick(5)["share-NUMA0"], 1);
}

#[test]
fn a_limit_takes_nothing_of_what_reclaim_keeps() {
    let mut node = Node::new(SizeRule::Canonical);
    node.policy.reclaim_reserve = ReclaimReserve::Count(4);
    node.layout = layout_of(&machine(1, 6, 1), &node.policy);
    node.provision.isolation.enabled = true;
    node.provision.isolation.max_cpu_ratio = 1.0;
    node.pod("web", 1000, Place::Pool);
    node.pod("noisy", 1000, Place::Pool);
    let noisy = node.ledger.pods.get_mut(&PodUid::from("noisy")).expect("it is here");
    noisy.ask.cpu_limit = Some(MilliCpu(4000));
    node.measure("noisy", 1000, None, Some(20.0));
    let pools = (0..3).map(|_| node.tick(60)).last().expect("a tick");
    // 6 - 4 = 2 CPUs for two pools
    assert_eq!((pools["isolation-noisy"], pools["share"], pools["reclaim"]), (1, 1, 4));
}
