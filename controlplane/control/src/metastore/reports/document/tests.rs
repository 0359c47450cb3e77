//! The shape of a value and its bound.

use expect_test::expect;
use proto::v1::{
    AgentHealth, Finding, NodeHealth, NodePools, NodeState, NumaAmount, PodReport, Pool, Signal,
};

use super::super::pace::tests::{amount, node};
use super::*;

fn pod(nth: usize, qos: &str) -> PodReport {
    PodReport {
        uid: format!("uid-{nth}"),
        namespace: "shop".to_owned(),
        name: format!("web-{nth}"),
        qos: qos.to_owned(),
        usage_milli_cpu: Some(250),
        suppressed: qos == "reclaimed_cores",
        ..PodReport::default()
    }
}

fn state(n_pods: usize, n_findings: usize) -> NodeState {
    let pools = vec![Pool { name: "share".to_owned(), cpus: "0-3".to_owned(), ..Pool::default() }];
    let finding = |nth| Finding {
        severity: 2,
        rule: "stale-source".to_owned(),
        subject: format!("s{nth}"),
        message: "x".repeat(200),
    };
    NodeState {
        capacity: amount(4000),
        headroom: amount(1500),
        pools: Some(NodePools { pools }),
        pods: (0..n_pods)
            .map(|nth| pod(nth, ["shared_cores", "reclaimed_cores", "odd"][nth % 3]))
            .collect(),
        health: Some(NodeHealth {
            mode: 2,
            signal: Some(Signal { state: 1, why: String::new() }),
            agent: Some(AgentHealth { rss_bytes: Some(20 << 20), ..AgentHealth::default() }),
            findings: (0..n_findings).map(finding).collect(),
            policy_sha256: vec![1, 2],
        }),
    }
}

#[test]
fn the_shape_stays() {
    let text = document(&node("n", state(2, 0)), 1_790_000_000_123, Pods::Listed, 64 << 10);
    expect![[r#"
        {"schema":1,
        "cluster":"c",
        "node":"n",
        "node_uid":"u",
        "boot_id":"b",
        "agent_start_id":"s",
        "sequence":7,
        "reported_unix_ms":1790000000123,
        "behind":null,
        "mode":"enforce",
        "signal":"good",
        "agent_rss_bytes":20971520,
        "agent_cpu_ratio":null,
        "capacity":{"milli_cpu":4000,
        "memory_bytes":1073741824,
        "numa_nodes":[]},
        "headroom":{"milli_cpu":1500,
        "memory_bytes":1073741824,
        "numa_nodes":[]},
        "usage_milli_cpu":500,
        "pools":[{"name":"share",
        "cpus":"0-3",
        "n_cpus":0,
        "need_milli_cpu":0,
        "usage_milli_cpu":null,
        "n_workloads":0}],
        "n_findings":0,
        "findings":[],
        "n_pods":2,
        "n_suppressed":1,
        "pods_by_qos":{"reclaimed_cores":1,
        "shared_cores":1},
        "pods":[{"uid":"uid-0",
        "namespace":"shop",
        "name":"web-0",
        "tenant":"",
        "qos":"shared_cores",
        "pool":null,
        "request_milli_cpu":0,
        "usage_milli_cpu":250,
        "memory_current_bytes":null,
        "runq":null,
        "suppressed":false},{"uid":"uid-1",
        "namespace":"shop",
        "name":"web-1",
        "tenant":"",
        "qos":"reclaimed_cores",
        "pool":null,
        "request_milli_cpu":0,
        "usage_milli_cpu":250,
        "memory_current_bytes":null,
        "runq":null,
        "suppressed":true}]}"#]]
    .assert_eq(&text.replace(",\"", ",\n\""));
}

#[test]
fn a_value_keeps_its_bound_and_says_what_it_left_out() {
    for (n_pods, n_findings, most_bytes, pods) in [
        (0, 0, LEAST_BYTES, Pods::Listed),
        (500, 0, LEAST_BYTES, Pods::Counted),
        (500, 0, LEAST_BYTES, Pods::Listed),
        (500, 500, LEAST_BYTES, Pods::Listed),
        (500, 500, 65536, Pods::Listed),
    ] {
        let text = document(&node("n", state(n_pods, n_findings)), 1, pods, most_bytes);
        assert!(text.len() <= most_bytes, "{} of {most_bytes}", text.len());
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["n_pods"], &read["n_findings"]), (&n_pods.into(), &n_findings.into()));
        let n_listed = read["pods"].as_array().unwrap().len();
        assert_eq!(n_listed > 0, pods == Pods::Listed && n_pods > 0, "{n_listed} of {n_pods}");
        assert!(n_listed < n_pods.max(1));
    }
}

/// Nothing that a hostile agent may send, which is half a MiB, makes a value longer.
#[test]
fn words_without_end_are_left_out() {
    let long = "\u{1}".repeat(100_000);
    let mut state = state(1, 1);
    state.health.as_mut().unwrap().findings[0].message.clone_from(&long);
    state.pools.as_mut().unwrap().pools[0].cpus.clone_from(&long);
    state.pods[0].qos.clone_from(&long);
    let numa = NumaAmount { numa_node: 1, milli_cpu: Some(1), memory_bytes: Some(1) };
    state.capacity.as_mut().unwrap().numa_nodes = vec![numa; 5000];
    let text = document(&node("n", state), 1, Pods::Listed, LEAST_BYTES);
    assert!(text.len() <= LEAST_BYTES, "{}", text.len());
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["capacity"]["milli_cpu"], 4000);
}

/// Changes of a node with 4 CPUs.
#[test]
fn measurements_have_to_move_and_states_have_not() {
    #[track_caller]
    fn check(change: impl Fn(&mut NodeState), is_new: bool) {
        let mut changed = state(3, 1);
        change(&mut changed);
        let (one, other) = (node("n", state(3, 1)), node("n", changed));
        assert_eq!(Meaning::of(&other).differs_from(&Meaning::of(&one)), is_new);
    }
    check(|_| {}, false);
    check(|state| state.headroom = amount(1699), false);
    check(|state| state.headroom = amount(1700), true);
    check(|state| state.headroom = None, true);
    check(|state| state.pods[0].usage_milli_cpu = Some(449), false);
    check(|state| state.pods[0].usage_milli_cpu = Some(450), true);
    check(|state| state.pods[0].suppressed = true, true);
    check(|state| state.pods.truncate(2), true);
    check(|state| state.health.as_mut().unwrap().mode = 1, true);
    check(|state| state.health.as_mut().unwrap().findings[0].message.clear(), false);
    check(|state| state.health.as_mut().unwrap().findings.clear(), true);
    check(|state| state.pools = None, true);
}
