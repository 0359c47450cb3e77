//! Is every container of a node on the CPUs that the agent's plan gives it? Owns the comparison of files in the node with `berth qos`;
//! what the plan should be is said by the cases.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::Value;
use testkit::eventually;

use crate::cgroups;
use crate::node::phase;
use crate::node_agent::{Agent, LEVEL, are_apart};

/// A running pod with what it asks for, what the plan gives it and what its container's file holds.
#[derive(Debug)]
struct Placed {
    name: String,
    wants_own: bool,
    planned: Option<(String, String)>,
    holds: String,
}

/// Waits until all is right, and says how long that took.
pub(crate) async fn until_right(agent: &Agent<'_>, pods: &Api<Pod>, limit: Duration) -> Duration {
    let began = Instant::now();
    let right = async || Ok(wrong(agent, pods).await.is_empty().then_some(()));
    let ended = eventually("each container to be on its CPUs", limit, right).await;
    let took = began.elapsed();
    if ended.is_err() {
        let (wrong, log) = (wrong(agent, pods).await, agent.log().await);
        panic!("after {took:?}: {wrong:#?}\n{}\n{log}", agent.berth("qos -o wide").await);
    }
    took
}

/// What is not as it should be, in words: a pod that the agent does not know, a file that is not as planned, CPUs of an owner that
/// another container may use, a pod that owns none although it should.
pub(crate) async fn wrong(agent: &Agent<'_>, pods: &Api<Pod>) -> Vec<String> {
    let said = agent.berth("qos -o json").await;
    let Ok(said) = serde_json::from_str::<Value>(&said) else { return vec![said] };
    let placed = placed(agent, pods, &plan(&said)).await;
    let mut wrong: Vec<String> = placed.iter().filter_map(not_as_planned).collect();
    for owner in placed.iter().filter(|one| one.wants_own) {
        let others = placed.iter().filter(|other| other.name != owner.name);
        let shared = others.filter(|other| !are_apart(&owner.holds, &other.holds));
        wrong.extend(shared.map(|other| format!("{owner:?} is not apart from {other:?}")));
    }
    wrong
}

fn not_as_planned(one: &Placed) -> Option<String> {
    let Some((pool, cpus)) = &one.planned else { return Some(format!("not known: {one:?}")) };
    let is_wrong = *cpus != one.holds || (one.wants_own && pool != "dedicated");
    is_wrong.then(|| format!("{one:?}"))
}

/// Pool and CPUs of each workload.
fn plan(said: &Value) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let planned = said["plan"]["workloads"].as_array().cloned().unwrap_or_default();
    let row = |one: &Value| (text(&one["name"]), (text(&one["pool"]), text(&one["cpus"])));
    planned.iter().map(row).collect()
}

/// All running pods of the namespace; those that end are no longer asked about.
async fn placed(
    agent: &Agent<'_>,
    pods: &Api<Pod>,
    plan: &BTreeMap<String, (String, String)>,
) -> Vec<Placed> {
    let pods = pods.list(&ListParams::default()).await.unwrap().items;
    let lives =
        |pod: &&Pod| phase(pod) == Some("Running") && pod.metadata.deletion_timestamp.is_none();
    let pods: Vec<&Pod> = pods.iter().filter(lives).collect();
    let files: Vec<String> =
        pods.iter().filter_map(|pod| cgroups::of_container(agent.node, pod)).collect();
    let held = effective(agent, &files).await;
    let placed = |pod: &&Pod| Placed {
        name: pod.name_any(),
        wants_own: pod.annotations().get(LEVEL).is_some_and(|level| level == "dedicated_cores"),
        planned: plan.get(&format!("default/{}", pod.name_any())).cloned(),
        holds: cgroups::of_container(agent.node, pod)
            .and_then(|path| held.get(&path).cloned())
            .unwrap_or_default(),
    };
    pods.iter().filter(|pod| cgroups::of_pod(agent.node, pod).is_some()).map(placed).collect()
}

/// The CPUs that the tasks of these cgroups may use.
async fn effective(agent: &Agent<'_>, cgroups: &[String]) -> BTreeMap<String, String> {
    let line = format!(
        "for cgroup in {}; do echo \"$cgroup $(cat $cgroup/cpuset.cpus.effective)\"; done",
        cgroups.join(" ")
    );
    let said = agent.sh(&line).await;
    let rows = said.lines().filter_map(|line| line.split_once(' '));
    rows.map(|(path, cpus)| (path.to_owned(), cpus.to_owned())).collect()
}
