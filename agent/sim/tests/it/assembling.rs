//! Pools of a whole node that follow measurement: two NUMA nodes of 24 CPUs, reclaimed work keeps
//! four of each. The numbers of regions and isolated pods are those of Katalyst's
//! assembler_common_test.go; where ours differ on purpose, the row says why.

use std::collections::BTreeMap;

use serde_json::Value;
use sim::simulate;

/// Policy, pods as (name, level, request, limit, annotation), then ticks.
struct Case {
    policy: String,
    pods: Vec<String>,
    ticks: &'static [&'static str],
}

const BOUND: &str = ", katalyst.kubewharf.io/memory_enhancement: '{\"numa_binding\":\"true\"}'";

fn shared(name: &str, cpu: u64, limit: u64, more: &str) -> String {
    pod(name, "shared_cores", (cpu, limit), more)
}

fn pod(name: &str, level: &str, (cpu, limit): (u64, u64), more: &str) -> String {
    format!(
        "{{metadata: {{name: {name}, annotations: {{katalyst.kubewharf.io/qos_level: {level}{more}}}}}, \
         spec: {{containers: [{{name: main, resources: {{requests: {{cpu: \"{cpu}\"}}, limits: {{cpu: \"{limit}\"}}}}}}]}}, \
         status: {{phase: Running}}}}"
    )
}

/// CPUs by pool and node, as `share-NUMA1@1: 8`.
fn sizes(case: &Case) -> BTreeMap<String, usize> {
    let mut text = "machine: {numa_per_socket: 2, cores_per_numa: 24}\n".to_owned();
    text += &format!(
        "policy: {{reclaim_reserved_cpus: 8, isolation: true, {}}}\nsteps:\n",
        case.policy
    );
    // bound pods of the rows are on node 1
    for pod in &case.pods {
        let hint = if pod.contains("numa_") { ", hint: [1]" } else { "" };
        text += &format!("  - admit: {{pod: {pod}{hint}}}\n");
    }
    for tick in case.ticks {
        text += &format!("  - tick: {tick}\n");
    }
    text += "  - show: [pools]\n";
    let transcript = simulate(&text, &|tree| Err(format!("no tree {tree}")));
    let lines: Vec<Value> =
        transcript.lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let wrong = lines.iter().find(|line| line["ok"] != true);
    assert!(wrong.is_none(), "{wrong:?}");
    let pools = lines.last().expect("a step")["result"]["pools"].as_object().expect("pools");
    let mut sizes = BTreeMap::new();
    for (name, pool) in pools {
        for (node, cpus) in pool["per_numa"].as_object().expect("nodes") {
            let cpus: model::CpuSet = cpus.as_str().expect("a list").parse().expect("CPUs");
            sizes.insert(format!("{name}@{node}"), cpus.len());
        }
    }
    sizes
}

#[track_caller]
fn check(case: &Case, expect: &[(&str, usize)]) {
    let expect = expect.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    assert_eq!(sizes(case), expect);
}

/// Sizes move at once, and one pod of two may be isolated whatever it asks for.
const QUICK: &str = "provision_policy: canonical, ramp_max_down_cpus: 48, ramp_down_every_seconds: 0, \
                     isolation_max_cpu_ratio: 1";

/// Three measurements in which `noisy` has 20 runnable tasks.
const NOISY: &[&str] = &[
    "{seconds: 5, samples: {pods: {noisy: {runnable: 20}}}}",
    "{seconds: 5, samples: {pods: {noisy: {runnable: 20}}}}",
    "{seconds: 5, samples: {pods: {noisy: {runnable: 20}}}}",
];

/// P1: 24 - 6 = 18 and 24 - 8 = 16 are left, what reclaimed work keeps among them. Pools without
/// binding are on node 0, since node 1 has a bound one.
#[test]
fn reclaim_has_what_regions_leave() {
    let policy = "reclaim_enabled: true, provision_policy: canonical".to_owned();
    let pods = vec![shared("web", 6, 6, ""), shared("db", 8, 8, BOUND)];
    let case = Case { policy, pods, ticks: &["{seconds: 5, samples: {cpus: {\"0\": 0}}}"] };
    let expect = [("reclaim@0", 18), ("reclaim@1", 16), ("share-NUMA1@1", 8), ("share@0", 6)];
    check(&case, &expect);
}

/// P3: beside a pool of 8 an isolated pod of 4 gets its limit of 8: 24 - 8 - 8 = 8 are left.
#[test]
fn an_isolated_pod_gets_its_limit_beside_its_pool() {
    let policy = QUICK.to_owned() + ", reclaim_enabled: true";
    let pods = vec![shared("db", 8, 8, BOUND), shared("noisy", 4, 8, BOUND)];
    let case = Case { policy, pods, ticks: NOISY };
    let expect = [
        ("isolation-default/noisy@1", 8),
        ("reclaim@0", 24),
        ("reclaim@1", 8),
        ("share-NUMA1@1", 8),
    ];
    check(&case, &expect);
}

/// P5: without reclaimed work 15 + 8 are over 24 - 4 = 20, so the isolated pod falls to its request
/// of 4 and the pool grows to 16.
#[test]
fn an_isolated_pod_falls_to_its_request_where_its_limit_does_not_fit() {
    let policy = QUICK.to_owned() + ", reclaim_enabled: false";
    let pods = vec![shared("db", 15, 15, BOUND), shared("noisy", 4, 8, BOUND)];
    let case = Case { policy, pods, ticks: NOISY };
    let expect = [
        ("isolation-default/noisy@1", 4),
        ("reclaim@0", 24),
        ("reclaim@1", 4),
        ("share-NUMA1@1", 16),
    ];
    check(&case, &expect);
}

/// The same with reclaimed work: it gets its four, and no CPU in the moment a pod is isolated.
#[test]
fn isolation_gives_reclaimed_work_nothing() {
    let policy = QUICK.to_owned() + ", reclaim_enabled: true";
    let pods = || vec![shared("db", 15, 15, BOUND), shared("noisy", 4, 8, BOUND)];
    let before = Case { policy: policy.clone(), pods: pods(), ticks: &NOISY[..2] };
    let after = Case { policy, pods: pods(), ticks: NOISY };
    let (before, after) = (sizes(&before), sizes(&after));
    assert!(!before.contains_key("isolation-default/noisy@1"), "{before:?}");
    assert_eq!(after["isolation-default/noisy@1"], 5, "24 - 4 - 15");
    assert!(after["reclaim@1"] <= before["reclaim@1"], "{before:?} {after:?}");
}

/// An owner of node 1 that uses 4 CPUs needs 5 and lends 19.
#[test]
fn an_owner_of_a_node_lends_the_rest() {
    let exclusive = ", katalyst.kubewharf.io/memory_enhancement: '{\"numa_exclusive\":\"true\"}'";
    let policy = QUICK.to_owned() + ", reclaim_enabled: true";
    let pods = vec![shared("web", 6, 6, ""), pod("db", "dedicated_cores", (20, 20), exclusive)];
    let ticks = &["{seconds: 5, usage: {db: \"4\", web: \"4800m\"}}"];
    let case = Case { policy, pods, ticks };
    let expect = [("dedicated@1", 24), ("reclaim@0", 18), ("reclaim@1", 19), ("share@0", 6)];
    check(&case, &expect);
}
