//! What a container runtime does to an agent that does not answer, and what the agent does about it.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use testkit::{Bench, Cluster, Settings, Shape};

use crate::node::{cgroup_file, run};
use crate::node_agent::{Agent, ENV, SOON, dedicated, files, until_file};
use crate::placement::until_right;

/// What runtimes have unless they are told otherwise; the nodes of the bench have more.
const TIMEOUT_OF_RUNTIMES: &str = "sed -i 's/^plugin_request_timeout.*/plugin_request_timeout = \"2s\"/' /etc/containerd/config.toml";

/// The agent stands still for longer than the runtime waits: the pod starts without it, the runtime drops it, and when it goes on it
/// is heard again and puts the pod where it belongs. Another agent beside it is refused all the while.
#[tokio::test]
async fn an_agent_that_does_not_answer_is_dropped_and_comes_back() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings { shape: Shape::NUMA, files: files("enforce"), ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let restart = format!("{TIMEOUT_OF_RUNTIMES} && kill -9 $(pidof containerd)");
    node.shell().run(&restart).await.unwrap().success().unwrap();
    let agent = Agent::start(&node).await;
    let early = run(&bench, &pods, &dedicated("early", "2")).await;
    let own = cgroup_file(&node, &early, "cpuset.cpus").await;

    agent.sh("kill -STOP $(cat /run/berth-bin/pid)").await;
    let late = run(&bench, &pods, &dedicated("late", "2")).await;
    assert_eq!(cgroup_file(&node, &late, "cpuset.cpus.effective").await, "0-7");
    assert_eq!(cgroup_file(&node, &early, "cpuset.cpus").await, own);
    let other =
        agent.sh(&format!("{ENV} ./berth-agent run --config agent.toml; echo ended with $?")).await;
    assert!(other.contains("another agent (pid "), "{other}");
    assert!(other.contains("ended with 1"), "{other}");

    let before = agent.n_logged("The container runtime is heard").await;
    let began = Instant::now();
    agent.sh("kill -CONT $(cat /run/berth-bin/pid)").await;
    agent.until_logged("The container runtime is not heard").await;
    agent.until_logged_again("The container runtime is heard", before).await;
    let heard = began.elapsed().as_secs_f64();
    until_right(&agent, &pods, SOON).await;
    let right = began.elapsed().as_secs_f64();
    until_file(&agent, &early, "cpuset.cpus", &own, SOON).await;
    let note = format!(
        "an agent that stood still is heard {heard:.1} s after it goes on, every cpuset is right after {right:.1} s"
    );
    bench.note(&note).unwrap();
}
