//! Named cases of sizes with the arithmetic, and properties whose oracle counts in its own words.

mod lending;
mod overlap;

use std::collections::BTreeMap;

use model::ledger::{Place, Resident};
use model::measured::PodMeasure;
use model::placement::ReclaimReserve;
use model::provision::Targets;
use model::qos::{PodUid, QosLevel};
use model::{Micros, MilliCpu, NumaNodeId};
use proptest::prelude::*;

use super::*;
use crate::pool::{Held, Space, Want, assemble, pools};
use crate::testkit::{SECOND, ask, layout_of, machine};

/// A node of two times 24 CPUs, of which reclaimed work keeps 4 each, over many measurements.
struct Node {
    layout: Layout,
    policy: PlacementPolicy,
    provision: ProvisionPolicy,
    ledger: Ledger,
    measured: Measured,
    state: ProvisionState,
    now: u64,
}

impl Node {
    fn new(rule: SizeRule) -> Node {
        let reclaim_reserve = ReclaimReserve::Count(8);
        let policy =
            PlacementPolicy { reclaim_enabled: true, reclaim_reserve, ..Default::default() };
        Node {
            layout: layout_of(&machine(2, 24, 1), &policy),
            policy,
            provision: ProvisionPolicy { rules: vec![rule], ..Default::default() },
            ledger: Ledger::default(),
            measured: Measured::default(),
            state: ProvisionState::default(),
            now: 0,
        }
    }

    fn pod(&mut self, name: &str, milli: u64, place: Place) {
        let ask = ask(name, QosLevel::SharedCores, milli);
        self.ledger.pods.insert(ask.uid.clone(), Resident { ask, place, ramp_until: None });
    }

    fn measure(&mut self, name: &str, cpu: u64, p99: Option<u64>, runnable: Option<f64>) {
        let (cpu, runq_p99) = (Some(MilliCpu(cpu)), p99.map(Micros));
        let one = PodMeasure { cpu, runq_p99, runnable, ..PodMeasure::default() };
        self.measured.pods.insert(PodUid::from(name), one);
    }

    fn tally(&self) -> Tally {
        Tally::of(&self.layout, &self.ledger, None, Timestamp(self.now))
    }

    fn input<'a>(&'a self, tally: &'a Tally) -> ProvisionInput<'a> {
        ProvisionInput {
            now: Timestamp(self.now),
            layout: &self.layout,
            policy: &self.policy,
            provision: &self.provision,
            ledger: &self.ledger,
            tally,
            measured: &self.measured,
            state: &self.state,
            max_quota_growth: None,
        }
    }

    /// Passes time and measures; all pools but the reserve, and how many CPUs they have.
    fn tick(&mut self, seconds: u64) -> BTreeMap<String, usize> {
        self.now += seconds * SECOND;
        let tally = self.tally();
        let given = provision(&self.input(&tally));
        self.state = given.state;
        let pools = pools(&self.layout, &self.policy, &given.tally, &Held::default());
        pools.iter().map(|(name, pool)| (name.to_string(), pool.cpus.len())).collect()
    }
}

#[track_caller]
fn check_assemble(n_cpus: usize, grow: bool, rows: &[(u64, u64, Option<u64>)], expect: &[usize]) {
    let want = |(asked, sized, upper): &(u64, u64, Option<u64>)| Want {
        asked: MilliCpu(asked * 1000),
        sized: MilliCpu(sized * 1000),
        upper: upper.map(|upper| MilliCpu(upper * 1000)),
    };
    let wants: Vec<Want> = rows.iter().map(want).collect();
    let space = Space { n_cpus, grow_to: grow.then_some(n_cpus) };
    assert_eq!(assemble(space, &wants).as_deref(), Some(expect));
}

#[test]
fn isolated_pods_get_their_limit_where_it_fits() {
    // 24 - 4 for reclaim = 20; share 8 and isolation 8 fit
    check_assemble(20, false, &[(8, 8, None), (4, 4, Some(8))], &[8, 8]);
    // reclaim off: 15 + 8 are over 20, so 4, and share grows to 16
    check_assemble(20, true, &[(15, 15, None), (4, 4, Some(8))], &[16, 4]);
    // reclaim on: 20 - 15 = 5 are left; falling to 4 would give reclaimed work a CPU
    check_assemble(20, false, &[(15, 15, None), (4, 4, Some(8))], &[15, 5]);
    // exactly all of it, with growth
    check_assemble(16, true, &[(8, 8, None), (4, 4, Some(8))], &[8, 8]);
    // what one takes the other has not
    check_assemble(20, false, &[(12, 12, None), (2, 2, Some(6)), (2, 2, Some(6))], &[12, 6, 2]);
    // what is asked for is not given away even while it is not needed
    check_assemble(20, false, &[(15, 3, None), (4, 4, Some(8))], &[3, 5]);
}

#[test]
fn reclaim_gets_what_regions_do_not_need() {
    // P1: 24 - 6 = 18 on node 0, 24 - 8 = 16 on node 1
    let mut node = Node::new(SizeRule::Canonical);
    node.pod("web", 6000, Place::Pool);
    node.pod("db", 8000, Place::Node(NumaNodeId(1)));
    let pools = node.tick(5);
    assert_eq!((pools["share"], pools["share-NUMA1"], pools["reclaim"]), (6, 8, 34));
}

#[test]
fn needs_are_usage_with_room_and_sizes_fall_slowly() {
    let mut node = Node::new(SizeRule::Canonical);
    node.pod("web", 10_000, Place::Pool);
    node.measure("web", 4000, None, None);
    // 4 * 1.25 = 5 wanted; 2 at once, and again after 30 s
    assert_eq!(node.tick(5)["share"], 8);
    assert_eq!(node.tick(5)["share"], 8);
    assert_eq!(node.tick(25)["share"], 6);
    assert_eq!(node.tick(30)["share"], 5);
    // 16 * 1.25 = 20, no more than 10 at once
    node.measure("web", 16_000, None, None);
    assert_eq!(node.tick(5)["share"], 15);
    assert_eq!(node.tick(5)["share"], 20);
    // more than there is without what reclaim keeps: 48 - 8 = 40
    node.measure("web", 47_000, None, None);
    assert_eq!((node.tick(5)["share"], node.tick(5)["share"]), (30, 40));
    // a new pod's request is there at once
    node.measure("web", 4000, None, None);
    node.tick(3600);
    node.tick(3600);
    node.pod("new", 3000, Place::Pool);
    assert_eq!(node.tick(1)["share"], 39, "36 and 3, whatever the ramp says");
}

#[test]
fn the_controller_reaches_its_target_and_stands() {
    let mut node = Node::new(SizeRule::Pid);
    node.pod("web", 10_000, Place::Pool);
    for (usage, expect) in [(5000, 7), (12_000, 15), (3200, 4)] {
        node.measure("web", usage, None, None);
        let last: Vec<usize> = (0..400).map(|_| node.tick(5)["share"]).skip(300).collect();
        // usage / 0.8, rounded up
        assert_eq!(last, vec![expect; 100], "usage {usage}");
    }
    // late: a CPU more with every measurement, though hardly anything is used
    node.measure("web", 100, Some(9000), None);
    let before = node.tick(1)["share"];
    assert!(node.tick(1)["share"] > before);
    // the indicator that said so is gone: nothing shrinks
    node.measure("web", 100, None, None);
    let held = node.tick(600)["share"];
    assert_eq!(node.tick(600)["share"], held);
}

#[test]
fn noisy_pods_leave_and_come_back() {
    let mut node = Node::new(SizeRule::Canonical);
    node.provision.isolation.enabled = true;
    for name in ["a", "b", "c", "d", "e"] {
        node.pod(name, 2000, Place::Pool);
        // over min(2 * 1.5, 2 + 2) = 3
        node.measure(name, 2000, None, Some(3.5));
    }
    node.tick(5);
    assert!(!node.tick(5).contains_key("isolation-a"), "two rounds are noise");
    // of five pods one is 20 % of the pool's CPU
    let third = node.tick(5);
    assert_eq!(third["isolation-a"], 2);
    assert!(!third.contains_key("isolation-b"));
    node.measure("a", 500, None, Some(0.5));
    assert!(node.tick(5).contains_key("isolation-a"));
    assert!(node.tick(119).contains_key("isolation-a"));
    assert!(!node.tick(1).contains_key("isolation-a"), "120 s of quiet");
}

#[test]
fn a_quota_holds_what_may_run_everywhere() {
    let mut node = Node::new(SizeRule::DynamicQuota);
    node.pod("db", 8000, Place::Node(NumaNodeId(1)));
    assert!(node.tick(5)["reclaim"] < 48, "no CPU is measured: sizes decide");
    node.measured.cpu_busy_ratio = node.layout.online.iter().map(|cpu| (cpu, 0.5)).collect();
    assert_eq!(node.tick(5)["reclaim"], 48);
    // 24 * (0.8 - 0.5) = 7.2, nobody reclaimed is here
    let quota = node.state.quota.values().next().copied().expect("a quota");
    assert!((7199..=7200).contains(&quota.0), "{quota}");
}

proptest! {
    /// Waiting longer never gives reclaimed work a CPU, and the same input gives the same sizes; the
    /// oracle only counts CPUs of pools.
    #[test]
    fn waiting_longer_never_widens_reclaim(
        usage in 0u64..30_000,
        request in 500u64..40_000,
        waits in proptest::collection::vec((0u64..20_000, 0u64..20_000), 1..6),
        overlap: bool,
        isolate: bool,
        seconds in 1u64..60,
    ) {
        let mut node = Node::new(SizeRule::Pid);
        node.policy.overlap_shared_reclaim = overlap;
        node.provision.isolation.enabled = isolate;
        node.provision.share_targets = Targets {
            runq_p99: Some(Micros(2000)), usage_ratio: Some(0.8), cpi: None,
        };
        node.pod("web", request, Place::Pool);
        node.pod("db", 3000, Place::Node(NumaNodeId(1)));
        for (a, more) in waits {
            let before = (node.state.clone(), node.now);
            node.measure("web", usage, Some(a + more), Some(usage as f64 / 500.0));
            let late = node.tick(seconds);
            (node.state, node.now) = before.clone();
            node.measure("web", usage, Some(a), Some(usage as f64 / 500.0));
            let calm = node.tick(seconds);
            prop_assert!(late["reclaim"] <= calm["reclaim"], "{late:?} {calm:?}");
            let after = node.state.clone();
            (node.state, node.now) = before;
            prop_assert_eq!(&node.tick(seconds), &calm);
            prop_assert_eq!(&node.state, &after);
        }
    }

    /// No CPU is given out twice, no pool with a pod is empty, and reclaim keeps its part.
    #[test]
    fn sizes_fit_the_machine(
        pods in proptest::collection::vec((0u64..30_000, 0u64..48_000, 0.0f64..40.0, 0u8..3), 1..7),
        seconds in proptest::collection::vec(1u64..90, 1..8),
    ) {
        let mut node = Node::new(SizeRule::Canonical);
        node.provision.isolation.enabled = true;
        for (idx, (request, usage, runnable, place)) in pods.into_iter().enumerate() {
            let (name, bound) = (format!("p{idx}"), NumaNodeId(u16::from(place == 1)));
            node.pod(&name, request, if place == 2 { Place::Pool } else { Place::Node(bound) });
            node.measure(&name, usage, None, Some(runnable));
        }
        for seconds in seconds {
            let pools = node.tick(seconds);
            prop_assert!(pools.values().all(|size| *size > 0));
            prop_assert!(pools["reclaim"] >= 8, "{pools:?}");
            let bound = |name: &str| name.ends_with("-NUMA0") || name.ends_with("-NUMA1");
            let total: usize = pools.values().sum();
            let both = pools.keys().any(|n| n.ends_with("-NUMA0")) && pools.keys().any(|n| n.ends_with("-NUMA1"));
            // without an unbound pool beside two bound nodes nothing overlaps
            if !(both && pools.keys().any(|name| name.starts_with("share") && !bound(name))) {
                prop_assert!(total <= 48, "{pools:?}");
            }
        }
    }
}
