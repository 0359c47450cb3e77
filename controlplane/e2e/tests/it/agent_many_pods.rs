//! Very many pods on one node: all of them are known, and what the agent costs.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use testkit::{Bench, Cluster, Settings, Shape, eventually};

use crate::node::phase;
use crate::node_agent::{Agent, LEVEL, SOON, annotated, plain_files};

/// A node of the bench starts a pod in half a second when there are many.
const ALL_LIMIT: Duration = Duration::from_secs(600);
/// A bar of docs/roadmap.md at 100 pods.
const MOST_KIB: u64 = 30 * 1024;

#[tokio::test]
async fn twelve_pods_are_known_and_the_agent_stays_small() {
    check(12).await;
}

#[tokio::test]
async fn soak_agent_beside_a_hundred_pods_stays_small() {
    check(100).await;
}

async fn check(n_pods: usize) {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings =
        Settings { shape: Shape::NUMA, files: plain_files("enforce", ""), ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let agent = Agent::start(&node).await;
    let began = Instant::now();
    for n in 0..n_pods {
        pods.create(&PostParams::default(), &pause(n)).await.unwrap();
    }
    let running = async || {
        let pods = pods.list(&ListParams::default()).await?.items;
        let n_running = pods.iter().filter(|pod| phase(pod) == Some("Running")).count();
        Ok((n_running == n_pods).then_some(()))
    };
    eventually(&format!("{n_pods} pods to run"), ALL_LIMIT, running).await.unwrap();
    let started = began.elapsed().as_secs_f64();
    let known = async || {
        let qos = agent.berth("qos").await;
        let known = qos.lines().filter(|line| line.starts_with("default/pause-"));
        Ok((known.count() == n_pods).then_some(()))
    };
    let known = eventually(&format!("the agent to know {n_pods} pods"), SOON, known).await;
    assert!(known.is_ok(), "{known:?}\n{}\n{}", agent.berth("qos").await, agent.log().await);

    let before = agent.cpu_ms().await;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let cpu = (agent.cpu_ms().await - before) as f64 / began.elapsed().as_millis() as f64;
    let (rss, anon) = (agent.memory_kib("VmRSS").await, agent.memory_kib("RssAnon").await);
    let note = format!(
        "{n_pods} pods ran after {started:.0} s; the agent has {:.1} MiB RSS, {:.1} of them its own, and uses {:.1} % of an emulated CPU",
        rss as f64 / 1024.0,
        anon as f64 / 1024.0,
        cpu * 100.0,
    );
    bench.note(&note).unwrap();
    assert!(rss < MOST_KIB, "{rss} KiB");
}

/// As little as a pod can be: no network of its own, one container that waits.
fn pause(n: usize) -> Pod {
    let annotations = match n % 4 {
        0 => json!({ LEVEL: "reclaimed_cores" }),
        _ => json!({}),
    };
    let mut pod =
        annotated(&format!("pause-{n}"), annotations, json!({ "requests": { "cpu": "10m" } }));
    let spec = pod.spec.as_mut().unwrap();
    spec.host_network = Some(true);
    spec.termination_grace_period_seconds = Some(0);
    let container = &mut spec.containers[0];
    container.image = Some("bench.test/pause:1".to_owned());
    container.command = None;
    pod
}
