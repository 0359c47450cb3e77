//! What a report says of a node that is known here line by line.

use std::sync::Arc;

use model::decision::Decision;
use model::headroom::{Absent, Amount, Explained, Headroom, NodeHeadroom, Unit};
use model::plan::{Overlay, Plan, PoolPlan, WorkloadPlan};
use model::qos::{CgroupPath, PodUid, PoolName, QosLevel};
use model::sample::WorkloadSpec;
use model::{CgroupId, CpuSet, MilliCpu};

use super::*;
use crate::serve::tests::{state_of, workload};

const NOW: Timestamp = Timestamp(5_000);

fn view(cgroup: &str, id: u64, qos: QosLevel) -> WorkloadView {
    WorkloadView {
        spec: WorkloadSpec::plain(qos, MilliCpu(500)),
        cgroup: CgroupPath::from(cgroup),
        cgroup_id: CgroupId(id),
        ..workload(1)
    }
}

fn pod_on_node(uid: &str, name: &str, cgroup: &str) -> PodOnNode {
    PodOnNode {
        uid: PodUid::from(uid),
        name: name.into(),
        cgroup: CgroupPath::from(cgroup),
        containers: Vec::new(),
        spec: WorkloadSpec::plain(QosLevel::SharedCores, MilliCpu(500)),
    }
}

/// Namespace, name and uid of the only workload.
#[track_caller]
fn check(name: &str, pods: &[PodOnNode], expect: (&str, &str, &str)) {
    let node = state_of([(name, view("/pods/x", 77, QosLevel::SharedCores))]);
    let told = of(&node, pods, NOW);
    let [pod] = told.pods.as_slice() else { panic!("{told:?}") };
    assert_eq!((pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str()), expect);
}

#[test]
fn pods_have_their_uid_and_workloads_that_of_their_cgroup() {
    let db = pod_on_node("u1", "shop/db-0", "/pods/x");
    check("shop/db-0", std::slice::from_ref(&db), ("shop", "db-0", "u1"));
    check("shop/db-0", &[], ("", "shop/db-0", "cgroup:77"));
    check("batch/p1", std::slice::from_ref(&db), ("", "batch/p1", "cgroup:77"));
    let successor = pod_on_node("u2", "shop/db-0", "/pods/y");
    check("shop/db-0", &[successor], ("", "shop/db-0", "cgroup:77"));
    let before = pod_on_node("u0", "shop/db-0@/pods/x", "/pods/x");
    check("shop/db-0@/pods/x", &[before], ("shop", "db-0", "u0"));
}

#[test]
fn an_empty_node_says_what_is_known_and_leaves_out_the_rest() {
    let told = of(&state_of([]), &[], NOW);
    let capacity = told.capacity.expect("a topology");
    assert_eq!((capacity.milli_cpu, capacity.memory_bytes), (Some(2000), None));
    let numa: Vec<_> = capacity
        .numa_nodes
        .iter()
        .map(|it| (it.numa_node, it.milli_cpu, it.memory_bytes))
        .collect();
    assert_eq!(numa, [(0, Some(1000), Some(1 << 30)), (1, Some(1000), Some(1 << 30))]);
    assert_eq!(told.headroom, None);
    assert_eq!((told.pools.expect("pools").pools.len(), told.pods.len()), (0, 0));
    let health = told.health.expect("health");
    assert_eq!((health.mode(), health.findings.len()), (v1::Mode::Observe, 0));
    assert_eq!(health.signal.expect("a signal").state(), v1::SignalState::Good);
    assert_eq!(health.agent.expect("itself").rss_bytes, Some(20 << 20));
    assert!(health.policy_sha256.is_empty());
}

#[test]
fn headroom_that_is_not_known_is_missing_and_not_zero() {
    let mut cpu = Explained::new(Unit::MilliCpu);
    cpu.value = Ok(Amount(0));
    let memory = Explained::absent(Unit::Bytes, Absent::Filling { have: 1, want: 4 });
    let part = NodeHeadroom { cpu: Some(MilliCpu(3500)), memory: None };
    let per_numa = [(NumaNodeId(1), part)].into();
    let mut plan = Plan::default();
    plan.advice.headroom = Some(Headroom { cpu, memory, per_numa });
    let node = NodeState { plan: Arc::new(plan), ..state_of([]) };
    let told = of(&node, &[], NOW).headroom.expect("headroom");
    assert_eq!((told.milli_cpu, told.memory_bytes), (Some(0), None));
    let numa = v1::NumaAmount { numa_node: 1, milli_cpu: Some(3500), memory_bytes: None };
    assert_eq!(told.numa_nodes, [numa]);
}

fn planned(pool: &str, qos: QosLevel) -> WorkloadPlan {
    WorkloadPlan {
        qos,
        pool: PoolName::from(pool),
        cgroup: CgroupPath::from("/pods/x"),
        containers: None,
        cpus: CpuSet::default(),
        cpu_weight: None,
        cpu_idle: None,
        cpu_max: None,
        cpu_burst: None,
        mems: None,
        memory_min: None,
        memory_low: None,
        memory_high: None,
        memory_max: None,
        oom_score_adj: None,
    }
}

#[test]
fn pools_and_what_holds_batch_work_down_are_told() {
    let mut plan = Plan::default();
    let share = PoolPlan { cpus: "0".parse().expect("a CPU"), need: MilliCpu(700) };
    plan.pools.insert(PoolName::from("share"), share);
    plan.workloads.insert("web".into(), planned("share", QosLevel::SharedCores));
    let overlay = Overlay {
        victim: "web".into(),
        began_at: Timestamp(1),
        expires_at: Timestamp(NOW.0 + 1),
        first_wait_at: Timestamp(1),
        floor: MilliCpu(100),
        cpu_idle: true,
        throttle: false,
    };
    let workloads = [
        ("batch", view("/b", 2, QosLevel::ReclaimedCores)),
        ("web", view("/pods/x", 1, QosLevel::SharedCores)),
    ];
    let node = NodeState { plan: Arc::new(plan), overlay: Some(overlay), ..state_of(workloads) };
    let told = of(&node, &[], NOW);
    let pods: Vec<_> = told
        .pods
        .iter()
        .map(|pod| (pod.name.as_str(), pod.pool.as_deref(), pod.suppressed))
        .collect();
    assert_eq!(pods, [("batch", None, true), ("web", Some("share"), false)]);
    let web = &told.pods[1];
    assert_eq!((web.usage_milli_cpu, web.memory_current_bytes), (Some(400), Some(1 << 20)));
    assert_eq!(web.runq.and_then(|runq| runq.wait_p99_ns), Some(90_000));
    let pools = told.pools.expect("pools").pools;
    assert_eq!((pools[0].name.as_str(), pools[0].usage_milli_cpu), ("share", Some(400)));
    let later = of(&node, &[], Timestamp(NOW.0 + 1));
    assert!(!later.pods[0].suppressed, "the overlay has expired");
}

fn log_of(n_decisions: u64, result: &str) -> DecisionLog {
    let mut log = DecisionLog::default();
    for at in 1..=n_decisions {
        log.push(Decision {
            at: Timestamp(at),
            rule: "test",
            subject: "web".into(),
            inputs: Vec::new(),
            result: result.to_owned(),
        });
    }
    log
}

/// First and last sequence and how many are lost.
#[track_caller]
fn check_decisions(log: &DecisionLog, acknowledged: u64, expect: Option<(u64, u64)>, n_lost: u64) {
    let (told, lost) = decisions(log, acknowledged, NOW);
    let ends = told.first().zip(told.last()).map(|(first, last)| (first.sequence, last.sequence));
    assert_eq!((ends, lost), (expect, n_lost));
    let n_bytes: usize = told.iter().map(|decision| decision.encoded_len()).sum();
    assert!(n_bytes <= MAX_DECISION_BYTES || told.len() == 1, "{n_bytes}");
}

#[test]
fn decisions_come_in_parts_that_fit_and_those_forgotten_are_counted() {
    check_decisions(&DecisionLog::default(), 0, None, 0);
    let short = log_of(3, "x");
    check_decisions(&short, 0, Some((1, 3)), 0);
    check_decisions(&short, 2, Some((3, 3)), 0);
    check_decisions(&short, 3, None, 0);
    let kept = crate::node_state::DECISIONS_KEPT as u64;
    let long = log_of(kept + 10, "x");
    check_decisions(&long, 4, Some((11, kept + 10)), 6);
    let wide = log_of(100, &"x".repeat(1000));
    let (told, _) = decisions(&wide, 0, NOW);
    assert!((60..65).contains(&told.len()), "{}", told.len());
    check_decisions(&wide, 99, Some((100, 100)), 0);
    check_decisions(&log_of(2, &"x".repeat(70_000)), 0, Some((1, 1)), 0);
}
