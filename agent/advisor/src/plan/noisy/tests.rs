//! A noisy pod over many ticks: it gets a pool of its own, keeps it while nobody can count, comes back
//! when it is quiet. Each Plan is held against `lint`.

use model::plan::Plan;
use model::policy::Policy;
use model::provision::SizeRule;
use model::sample::{SourceFault, WaitCauses};
use model::snapshot::{Signal, Snapshot, SourceHealth, WorkloadView};
use model::{Nanos, Timestamp};

use super::super::{PlanInput, PlanReport, plan};
use crate::lint::lint;
use crate::testkit::*;

/// Eight CPUs; `noisy` asks for one, so more than min(1.5 * 1, 1 + 2) runnable tasks are too many.
struct Scene {
    policy: Policy,
    plan: Option<Plan>,
    at_s: u64,
    signal: Signal,
    /// Why the probe does not work.
    fault: Option<SourceFault>,
    /// It was not read yet.
    is_new: bool,
}

impl Scene {
    fn new(rule: SizeRule, overlap: bool) -> Scene {
        let mut policy = if overlap { Policy::default() } else { splitting() };
        policy.provision.rules = vec![rule];
        policy.provision.ramp.min_cpus = 1;
        let isolation = &mut policy.provision.isolation;
        (isolation.enabled, isolation.max_cpu_ratio) = (true, 0.5);
        isolation.quiet = Nanos::from_secs(5);
        Scene { policy, plan: None, at_s: 0, signal: Signal::Good, fault: None, is_new: false }
    }

    fn snapshot(&self, runnable: f64) -> Snapshot {
        let running = |view: WorkloadView, runnable: f64| {
            let mut view = waiting(view, 100, WaitCauses::default());
            view.runq = view.runq.map(|mut runq| {
                runq.runnable = Some(runnable);
                runq
            });
            view
        };
        let all = vec![
            ("noisy", running(shared(1, 1000, Some(1000)), runnable)),
            ("web", running(shared(2, 2000, Some(1000)), 1.0)),
            ("ml", running(batch(3), 9.0)),
        ];
        let mut node = snapshot(self.at_s, machine(1, 8, 1), all);
        node.signal = self.signal.clone();
        if self.is_new || self.fault.is_some() {
            let health = SourceHealth { age: None, fault: self.fault.clone() };
            node.sources.insert(model::derive::PROBE, health);
        }
        node
    }

    /// The pool of `noisy` after one second more, and the CPUs of its own.
    #[track_caller]
    fn tick(&mut self, runnable: f64) -> (String, PlanReport) {
        self.at_s += 1;
        let node = self.snapshot(runnable);
        let now = Timestamp(self.at_s * SECOND);
        let previous = self.plan.as_ref();
        let input = PlanInput { now, snapshot: &node, previous, policy: &self.policy };
        let (plan, report) = plan(&input);
        assert_eq!(lint(&node, &self.policy, previous, &plan), vec![], "at {} s", self.at_s);
        let pool = plan.workloads["noisy"].pool.to_string();
        self.plan = Some(plan);
        (pool, report)
    }

    #[track_caller]
    fn ticks(&mut self, runnable: f64, pools: &[&str]) {
        for expect in pools {
            let (pool, _) = self.tick(runnable);
            assert_eq!(pool, *expect, "{runnable} runnable at {} s", self.at_s);
        }
    }

    #[track_caller]
    fn isolated(rule: SizeRule, overlap: bool) -> Scene {
        let mut scene = Scene::new(rule, overlap);
        scene.ticks(4.0, &["share", "share", OWN]);
        scene
    }

    fn cpus(&self, name: &str) -> model::CpuSet {
        self.plan.as_ref().map(|plan| plan.workloads[name].cpus).unwrap_or_default()
    }
}

const OWN: &str = "isolation-noisy";

const RULES: [(SizeRule, bool); 5] = [
    (SizeRule::Runq, true),
    (SizeRule::Runq, false),
    (SizeRule::Canonical, true),
    (SizeRule::Canonical, false),
    (SizeRule::Pid, true),
];

#[test]
fn three_noisy_seconds_isolate_and_five_quiet_ones_bring_it_back() {
    for (rule, overlap) in RULES {
        let mut scene = Scene::isolated(rule, overlap);
        let own = scene.cpus("noisy");
        assert_eq!(own.len(), 1, "{rule:?}: its request, which is its limit");
        for other in ["web", "ml"] {
            assert!(scene.cpus(other).is_disjoint(&own), "{rule:?}: {other} has its CPU");
            assert!(!scene.cpus(other).is_empty());
        }
        // Quiet from 4 s on; one noisy second in between and it begins anew.
        scene.ticks(0.5, &[OWN; 3]);
        scene.ticks(4.0, &[OWN]);
        scene.ticks(0.5, &[OWN; 5]);
        scene.ticks(0.5, &["share"]);
    }
}

#[test]
fn a_pod_that_is_noisy_now_and_then_stays() {
    let mut scene = Scene::new(SizeRule::Runq, true);
    for _ in 0..4 {
        scene.ticks(4.0, &["share", "share"]);
        scene.ticks(1.5, &["share"]);
    }
}

#[test]
fn without_bpf_nobody_is_isolated_and_a_finding_says_so() {
    for (rule, overlap) in RULES {
        let mut scene = Scene::isolated(rule, overlap);
        scene.signal = Signal::PressureOnly { why: "no BTF".to_owned() };
        scene.fault = Some(SourceFault::Unsupported { why: "no BTF".to_owned() });
        let (pool, report) = scene.tick(4.0);
        assert_eq!(pool, "share", "{rule:?}");
        let found = report.findings.iter().find(|finding| finding.rule == "isolation-blind");
        let message = found.map(|finding| finding.message.as_str());
        let expect = "no pod is isolated, runnable tasks are not counted: no BTF";
        assert_eq!(message, Some(expect), "{rule:?}");
    }
}

#[test]
fn a_distorted_or_late_signal_changes_nobody() {
    for (rule, overlap) in RULES {
        let mut scene = Scene::isolated(rule, overlap);
        scene.signal = Signal::Degraded { why: "the hypervisor takes 20 %".to_owned() };
        for _ in 0..9 {
            let (pool, report) = scene.tick(0.5);
            assert_eq!(pool, OWN, "{rule:?}");
            assert!(report.findings.iter().any(|finding| finding.rule == "isolation-unclear"));
        }
        // An agent that has just started: nothing was read yet.
        scene.is_new = true;
        scene.signal = Signal::PressureOnly { why: "no BPF reading yet".to_owned() };
        scene.ticks(0.5, &[OWN]);
    }
}
