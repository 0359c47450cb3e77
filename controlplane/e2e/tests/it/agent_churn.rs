//! The agent, the kubelet and the container runtime end while pods come and go: every pod starts, and soon each is on its CPUs.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;
use testkit::{Bench, Cluster, Node, Settings, Shape};

use crate::churn::Churn;
use crate::node::run;
use crate::node_agent::{Agent, SOON, dedicated, files};
use crate::placement::until_right;

/// An agent that comes back reads, plans and writes: two ticks of a second. The rest is what an emulated node takes to load BPF programs,
/// to run `berth` and to answer a shell.
const RIGHT_WITHIN: Duration = SOON;
const HEARD: &str = "The container runtime is heard";

#[tokio::test]
async fn an_agent_killed_again_and_again_keeps_no_pod_from_starting() {
    killed_for(Duration::from_secs(30)).await;
}

#[tokio::test]
async fn soak_agent_killed_for_two_minutes_keeps_no_pod_from_starting() {
    killed_for(Duration::from_secs(120)).await;
}

async fn killed_for(span: Duration) {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let node = node(&bench, &cluster, json!({})).await;
    let client = cluster.client().await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let agent = Agent::start(&node).await;
    run(&bench, &pods, &dedicated("stays", "2")).await;

    let mut churn = Churn::new(&client);
    let (n_killed, ()) =
        tokio::join!(kill_every(&agent, Duration::from_secs(5), span), churn.run(span));
    let heard = agent.n_logged(HEARD).await;
    agent.kill().await;
    let began = Instant::now();
    agent.spawn().await;
    agent.until_logged_again(HEARD, heard).await;
    let back = began.elapsed();
    until_right(&agent, &pods, RIGHT_WITHIN).await;
    let right = began.elapsed();
    assert_eq!(churn.failures().await, [""; 0], "\n{}", agent.log().await);
    let note = format!(
        "agent killed {} times in {} s: {}; the last one heard the runtime {:.1} s after its start, every cpuset right after {:.1} s",
        n_killed + 1,
        span.as_secs(),
        churn.figures(),
        back.as_secs_f64(),
        right.as_secs_f64(),
    );
    bench.note(&note).unwrap();
}

/// The next one starts at once, before the watchdog of the killed one takes over or while it restores.
async fn kill_every(agent: &Agent<'_>, pause: Duration, span: Duration) -> u32 {
    let (began, mut n_killed) = (Instant::now(), 0);
    while began.elapsed() < span {
        tokio::time::sleep(pause).await;
        agent.kill().await;
        agent.spawn().await;
        n_killed += 1;
    }
    n_killed
}

/// With a CPU manager of its own, a kubelet that starts again says anew where it wants every container.
#[tokio::test]
async fn a_kubelet_and_a_runtime_that_restart_under_churn_find_every_container_where_it_was() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let kubelet = json!({ "cpuManagerPolicy": "static", "reservedSystemCPUs": "0", "cpuManagerReconcilePeriod": "2s" });
    let node = node(&bench, &cluster, kubelet).await;
    let client = cluster.client().await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let agent = Agent::start(&node).await;
    let mut churn = Churn::new(&client);
    churn.run(Duration::ZERO).await;
    for program in ["kubelet", "containerd"] {
        let heard = agent.n_logged(HEARD).await;
        let began = Instant::now();
        let end = format!("kill -9 $(pidof {program})");
        let (said, ()) = tokio::join!(agent.sh(&end), churn.run(Duration::from_secs(8)));
        assert_eq!(said, "");
        if program == "containerd" {
            agent.until_logged_again(HEARD, heard).await;
        }
        until_right(&agent, &pods, RIGHT_WITHIN).await;
        let right = began.elapsed().as_secs_f64();
        let note = format!(
            "{program} killed: {}; all cpusets right {right:.1} s after it",
            churn.figures()
        );
        bench.note(&note).unwrap();
    }
}

async fn node(bench: &Bench, cluster: &Cluster, kubelet: serde_json::Value) -> Node {
    let settings =
        Settings { shape: Shape::NUMA, files: files("enforce"), kubelet, ..Settings::default() };
    cluster.add_node(bench, &settings).await.unwrap()
}
