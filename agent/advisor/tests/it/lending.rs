//! An owner of a whole NUMA node lends what it does not use, takes it back at once, and keeps a CPU.

use std::sync::Arc;

use advisor::{PlanInput, lint, plan};
use model::enhancement::Enhancements;
use model::plan::Plan;
use model::policy::Policy;
use model::provision::SizeRule;
use model::qos::PoolName;
use model::snapshot::{Signal, Snapshot};
use model::topology::{Shape, Topology};
use model::{Bytes, Timestamp};

use crate::node::{ids, members, snapshot};

/// Two nodes of four CPUs; `w0` owns the first as a whole, `w1` is batch work, `w2` a service.
struct Scene {
    policy: Policy,
    plan: Option<Plan>,
    at_s: u64,
    exclusive: bool,
}

impl Scene {
    fn new(lends: bool) -> Scene {
        let mut policy = Policy::default();
        policy.provision.rules = vec![SizeRule::Canonical];
        policy.provision.lend_exclusive = lends;
        policy.provision.ramp.min_cpus = 1;
        Scene { policy, plan: None, at_s: 0, exclusive: true }
    }

    fn node(&self, usage: u64) -> Snapshot {
        let topology = Topology::synthetic(Shape {
            sockets: 1,
            nodes_per_socket: 2,
            llcs_per_node: 1,
            cores_per_llc: 4,
            threads_per_core: 1,
            memory_per_node: Bytes(1 << 30),
        });
        let drafts = [
            (0, 2000, Some(usage), 10, 0, 0),
            (2, 0, Some(1000), 10, 0, 0),
            (1, 1000, Some(500), 10, 0, 0),
        ];
        let mut node = snapshot(topology, &drafts, Signal::Good);
        node.at = Timestamp(self.at_s * 1_000_000_000);
        let owner = node.workloads.get_mut("w0").expect("it is there");
        owner.spec.wish = Arc::new(Enhancements {
            numa_binding: true,
            numa_exclusive: self.exclusive,
            ..(*owner.spec.wish).clone()
        });
        for view in node.workloads.values_mut() {
            view.runq = view.runq.take().map(|mut runq| {
                runq.runnable = Some(0.1);
                runq
            });
        }
        node
    }

    /// How many CPUs of the owner batch work has after `seconds` with that usage.
    #[track_caller]
    fn lent(&mut self, usage: u64, seconds: u64) -> usize {
        for _ in 0..seconds {
            self.at_s += 1;
            let node = self.node(usage);
            let previous = self.plan.as_ref();
            let input = PlanInput { now: node.at, snapshot: &node, previous, policy: &self.policy };
            let (plan, _) = plan(&input);
            assert_eq!(lint(&node, &self.policy, previous, &plan), vec![], "at {} s", self.at_s);
            self.plan = Some(plan);
        }
        let plan = self.plan.as_ref().expect("a tick");
        let own = ids(plan.workloads["w0"].cpus);
        assert_eq!(own.len(), if self.exclusive { 4 } else { 2 }, "what was promised");
        own.intersection(&members(plan, PoolName::RECLAIM)).count()
    }
}

#[test]
fn an_owner_lends_what_it_does_not_use_and_takes_it_back_at_once() {
    let mut scene = Scene::new(true);
    // 1000 * 1.25 are two CPUs of four.
    assert_eq!(scene.lent(1000, 70), 2);
    assert_eq!(scene.lent(3500, 1), 0, "4375 are five, and it has four");
    // Next to nothing: all but one, two CPUs in each half minute.
    assert_eq!(scene.lent(10, 100), 3);
}

#[test]
fn who_does_not_own_a_node_or_may_not_lend_lends_nothing() {
    assert_eq!(Scene::new(false).lent(1000, 70), 0);
    let mut scene = Scene::new(true);
    scene.exclusive = false;
    assert_eq!(scene.lent(100, 70), 0);
    let mut scene = Scene::new(true);
    scene.policy.provision.rules = vec![SizeRule::Runq];
    assert_eq!(scene.lent(100, 70), 0);
}

#[test]
fn lint_refuses_loans_that_the_policy_does_not_allow() {
    let mut scene = Scene::new(true);
    scene.lent(10, 100);
    let (node, plan) = (scene.node(10), scene.plan.clone().expect("ticked"));
    let rules = |policy: &Policy, node: &Snapshot, plan: &Plan| -> Vec<&str> {
        lint(node, policy, None, plan).into_iter().map(|finding| finding.rule).collect()
    };
    assert_eq!(rules(&scene.policy, &node, &plan), Vec::<&str>::new());
    let mut strict = scene.policy.clone();
    strict.provision.lend_exclusive = false;
    assert_eq!(rules(&strict, &node, &plan), ["cpu-two-owners"]);
    let mut bound = node.clone();
    let owner = bound.workloads.get_mut("w0").expect("it is there");
    owner.spec.wish = Arc::new(Enhancements::none(owner.spec.qos));
    assert_eq!(rules(&scene.policy, &bound, &plan), ["cpu-two-owners"]);
    let mut all = plan.clone();
    let own = all.workloads["w0"].cpus;
    let reclaim = all.pools.get_mut(PoolName::RECLAIM).expect("a pool");
    reclaim.cpus = reclaim.cpus.union(&own);
    assert_eq!(rules(&scene.policy, &node, &all), ["owner-lends-all"]);
}
