//! Parts of a quota row by row, and a node that is held by one over many ticks.

use model::CpuId;
use model::Timestamp;
use model::enhancement::Enhancements;
use model::knob::CpuWeight;
use model::plan::{Plan, Severity};
use model::policy::Policy;
use model::provision::SizeRule;
use model::snapshot::Snapshot;

use super::super::plan;
use super::*;
use crate::lint::lint;
use crate::testkit::*;

/// Groups by (used, part before).
#[track_caller]
fn check_parts(quota: u64, groups: &[(u64, Option<u64>)], expect: &[u64]) {
    let names: Vec<WorkloadName> =
        (0..groups.len()).map(|n| WorkloadName::new(format!("b{n}"))).collect();
    let groups = names.iter().zip(groups);
    let groups: Vec<Group<'_>> =
        groups.map(|(name, (used, before))| Group { name, used: *used, before: *before }).collect();
    let mut parts = BTreeMap::new();
    divide(quota, &groups, &mut parts);
    let parts: Vec<u64> = parts.values().map(|part| part.0).collect();
    assert_eq!(parts, expect);
}

#[test]
fn each_has_what_it_uses_and_an_equal_part_of_the_rest() {
    check_parts(4000, &[(500, None), (2000, None), (0, None)], &[1000, 2500, 500]);
    check_parts(4000, &[(3000, None)], &[4000]);
    check_parts(4000, &[], &[]);
    // too little for all: one level, and the kernel's least for who used nothing
    check_parts(4000, &[(3000, None), (3000, None), (0, None)], &[2000, 2000, 10]);
    check_parts(4000, &[(500, None), (5000, None), (5000, None)], &[500, 1750, 1750]);
    check_parts(0, &[(500, None), (0, None)], &[10, 10]);
    // 1000 + 250 beside 1230 before: 20 of 1230 are less than a twentieth, so both stay
    check_parts(2500, &[(1000, Some(1230)), (1000, Some(1270))], &[1230, 1270]);
    check_parts(2500, &[(1000, Some(900)), (1000, Some(1270))], &[1250, 1250]);
    // staying would be more than there is
    check_parts(2500, &[(1000, Some(1300)), (1000, Some(1300))], &[1250, 1250]);
}

#[test]
fn a_part_is_never_over_the_own_limit() {
    let max =
        |quota: u64, period: u64| CpuMax { quota: Some(Micros(quota)), period: Micros(period) };
    let all = CpuMax::UNLIMITED;
    assert_eq!(as_max(MilliCpu(2500), all), max(250_000, 100_000));
    assert_eq!(as_max(MilliCpu(2500), max(100_000, 50_000)), max(100_000, 50_000));
    assert_eq!(as_max(MilliCpu(2500), max(200_000, 50_000)), max(250_000, 100_000));
    assert_eq!(as_max(MilliCpu(1), all), max(1000, 100_000));
}

/// Eight CPUs, each busy for `busy` of its time, a service and two groups of batch work.
struct Scene {
    policy: Policy,
    plan: Option<Plan>,
    at_s: u64,
    used: [Option<u64>; 2],
}

impl Scene {
    fn new(overlap: bool) -> Scene {
        let mut policy = if overlap { Policy::default() } else { splitting() };
        policy.provision.rules = vec![SizeRule::DynamicQuota];
        policy.suppression.enabled = overlap;
        Scene { policy, plan: None, at_s: 0, used: [Some(1000), Some(1000)] }
    }

    fn snapshot(&self, busy: f64) -> Snapshot {
        let mut all = vec![("web", shared(1, 2000, Some(1000)))];
        for (name, (slot, used)) in ["a", "b"].into_iter().zip([2, 3].into_iter().zip(self.used)) {
            let mut view = batch(slot);
            view.usage = used.map(MilliCpu);
            // The second came with a limit of 1.5 CPUs.
            let own = CpuMax { quota: Some(Micros(75_000)), period: Micros(50_000) };
            view.knobs.cpu_max = Some(if slot == 3 { own } else { CpuMax::UNLIMITED });
            all.push((name, view));
        }
        let mut node = snapshot(self.at_s, machine(1, 8, 1), all);
        node.host.cpu_busy_ratio = (0..8).map(|cpu| (CpuId(cpu), busy)).collect();
        node
    }

    /// The two quotas after one second more, in thousandths of a CPU.
    #[track_caller]
    fn tick(&mut self, busy: f64) -> [u64; 2] {
        self.at_s += 1;
        let node = self.snapshot(busy);
        let now = Timestamp(self.at_s * SECOND);
        let previous = self.plan.as_ref();
        let input = PlanInput { now, snapshot: &node, previous, policy: &self.policy };
        let (plan, _) = plan(&input);
        assert_eq!(lint(&node, &self.policy, previous, &plan), vec![], "at {} s", self.at_s);
        let max = |name: &str| plan.workloads[name].cpu_max.and_then(milli).unwrap_or(u64::MAX);
        let both = [max("a"), max("b")];
        self.plan = Some(plan);
        both
    }

    fn plan(&self) -> &Plan {
        self.plan.as_ref().expect("a tick")
    }
}

#[test]
fn a_quota_holds_batch_work_on_all_cpus() {
    for overlap in [true, false] {
        let mut scene = Scene::new(overlap);
        // 8 * (0.8 - 0.5) = 2.4 more than the 2 in use: 4400, less use 2400, half of it each.
        assert_eq!(scene.tick(0.5), [2200, 1500]);
        assert_eq!(scene.plan().pools[PoolName::SHARE].cpus.len(), 8);
        for _ in 0..3 {
            scene.tick(0.5);
        }
        assert_eq!(scene.plan().pools[PoolName::RECLAIM].cpus.len(), 8);
        // All busy: 8 * (0.8 - 1.0) + 2 = 0.4, but the floor of one CPU stays. Level 500.
        assert_eq!(scene.tick(1.0), [500, 500]);
        // Idle again, but for what is in use: 8 * 0.8 = 6.4; growth is bounded to 4 more than 1.
        assert_eq!(scene.tick(0.0), [2500, 1500]);
        // The rest of it: 6400, less use 4400, half of it each.
        assert_eq!(scene.tick(0.0), [3200, 1500]);
    }
}

#[test]
fn a_small_change_writes_nothing() {
    let mut scene = Scene::new(true);
    let first = scene.tick(0.5);
    // 80 mCPU more on 4400.
    assert_eq!(scene.tick(0.49), first);
    assert_ne!(scene.tick(0.40), first);
}

#[test]
fn a_missing_reading_lets_go_of_nothing() {
    let mut scene = Scene::new(true);
    let first = scene.tick(0.5);
    scene.used = [None, Some(1000)];
    let held = scene.tick(0.5);
    assert_eq!(scene.plan().advice.provision.knob, ReclaimKnob::Quota);
    assert!(held.iter().sum::<u64>() <= 4400 && first[1] == held[1], "{held:?}");
}

#[test]
fn the_own_limit_is_back_when_another_rule_sizes() {
    for overlap in [true, false] {
        let mut scene = Scene::new(overlap);
        scene.tick(1.0);
        scene.policy.provision.rules = vec![SizeRule::Runq];
        let generous = 16_000;
        assert_eq!(scene.tick(0.5), [generous, 1500]);
        assert!(scene.plan().advice.ceilings.is_empty());
        let later = if overlap { [generous, 1500] } else { [u64::MAX; 2] };
        assert_eq!(scene.tick(0.5), later, "without suppression the files are left alone again");
    }
}

#[test]
fn lint_refuses_batch_work_that_nothing_holds() {
    let mut scene = Scene::new(false);
    scene.tick(0.5);
    let (node, plan) = (scene.snapshot(0.5), scene.plan().clone());
    let told = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        let found = lint(&node, &scene.policy, None, &plan);
        assert!(found.iter().all(|finding| finding.severity == Severity::Fatal));
        found.into_iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    let workload = |plan: &mut Plan, max| {
        let one = plan.workloads.get_mut("a").expect("it is there");
        (one.cpu_max, one.cpu_weight) = (max, CpuWeight::new(1));
    };
    assert_eq!(told(&|_| {}), Vec::<&str>::new());
    assert_eq!(told(&|plan| workload(plan, None)), ["quota-missing"]);
    assert_eq!(told(&|plan| workload(plan, Some(CpuMax::UNLIMITED))), ["quota-missing"]);
    let much = CpuMax { quota: Some(Micros(800_000)), period: CpuMax::PERIOD };
    assert_eq!(told(&|plan| workload(plan, Some(much))), ["quota-exceeded"]);
    let let_go = told(&|plan| plan.advice.provision.knob = ReclaimKnob::Cpus);
    assert_eq!(let_go, ["cpu-two-owners"]);
}

/// Batch work that is bound to the service's node shares what that node's quota leaves with the unbound.
#[test]
fn parts_of_bound_and_unbound_work_make_up_the_quotas() {
    let scene = Scene::new(true);
    let mut node = scene.snapshot(0.5);
    node.at = Timestamp(SECOND);
    node.topology = std::sync::Arc::new(machine(2, 4, 1));
    for name in ["a", "web"] {
        let spec = &mut node.workloads.get_mut(name).expect("it is there").spec;
        let none = Enhancements::none(spec.qos);
        spec.wish = std::sync::Arc::new(Enhancements { numa_binding: true, ..none });
    }
    let input = PlanInput { now: node.at, snapshot: &node, previous: None, policy: &scene.policy };
    let (plan, _) = plan(&input);
    assert_eq!(lint(&node, &scene.policy, None, &plan), vec![]);
    let provision = &plan.advice.provision;
    assert_eq!(provision.knob, ReclaimKnob::Quota, "{provision:?}");
    let part = |name: &str| plan.workloads[name].cpu_max.and_then(milli).expect("a part");
    let quota: u64 = provision.quota.values().map(|quota| quota.0).sum();
    assert!(part("a") > 0 && part("a") + part("b") <= quota, "{provision:?}");
}
