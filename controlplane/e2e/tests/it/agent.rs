//! The node agent beside a stock kubelet: pods with Katalyst's annotations get what they ask for, in the files of their cgroups.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;
use testkit::{Bench, Cluster, Node, Settings, Shape, eventually};

use crate::cgroups;
use crate::node::{cgroup_file, pod, run};
use crate::node_agent::{
    Agent, ENV, LEVEL, SOON, annotated, are_apart, bound_database, files, n_cpus, until_file,
};

#[tokio::test]
async fn pods_get_the_cpus_that_their_annotations_ask_for() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings { shape: Shape::NUMA, files: files("enforce"), ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let early = run(&bench, &pods, &pod("early", json!({ "requests": { "cpu": "500m" } }))).await;
    let agent = Agent::start(&node).await;

    let database = bound_database("db");
    let (db, others_off) = tokio::join!(run(&bench, &pods, &database), others_off(&node, &early));
    bench
        .note(&format!("the others are off a new owner's CPUs {others_off} s after it has them"))
        .unwrap();
    assert_eq!(cgroup_file(&node, &db, "cpuset.cpus").await, "0-1");
    assert_eq!(cgroup_file(&node, &db, "cpuset.mems").await, "0");
    until_file(&agent, &early, "cpuset.cpus", "4-7", SOON).await;
    let said = agent.berth("explain default/db").await;
    assert!(
        said.starts_with("workload default/db (dedicated_cores): pool dedicated, CPUs 0-1"),
        "{said}"
    );

    let ml = annotated("ml", json!({ LEVEL: "reclaimed_cores" }), json!({}));
    let ml = run(&bench, &pods, &ml).await;
    assert_eq!(cgroup_file(&node, &ml, "cpuset.cpus").await, "2-7");

    // Whoever comes after a crash puts back what the kubelet had wanted: all CPUs.
    agent.kill().await;
    for pod in [&early, &db, &ml] {
        until_file(&agent, pod, "cpuset.cpus.effective", "0-7", SOON).await;
    }
    agent.spawn().await;
    until_file(&agent, &db, "cpuset.cpus", "0-1", SOON).await;
    until_file(&agent, &early, "cpuset.cpus", "4-7", SOON).await;

    // A runtime that restarts tells everything anew, and pods that start meanwhile have their places.
    agent.sh("kill -9 $(pidof containerd)").await;
    agent.until_logged("The container runtime is not heard").await;
    let second = run(&bench, &pods, &bound_database("second")).await;
    until_file(&agent, &second, "cpuset.cpus", "2-3", SOON).await;

    agent.sh("kill $(cat /run/berth-bin/pid)").await;
    for pod in [&early, &db, &ml, &second] {
        until_file(&agent, pod, "cpuset.cpus.effective", "0-7", SOON).await;
    }
    let replayed = agent.sh(&format!("{ENV} ./berth-agent replay recording")).await;
    assert!(replayed.contains("all the same"), "{replayed}");
}

/// Seconds from the cgroup of the first Guaranteed pod's container, which is made with its CPUs, to the file of another that has left them.
/// Looked at on the node every 20 ms.
async fn others_off(node: &Node, other: &Pod) -> String {
    let other = cgroups::of_container(node, other).unwrap();
    let line = format!(
        "owns() {{ cat /sys/fs/cgroup/kubepods/pod*/*/cpuset.cpus 2>/dev/null | grep -q '^0-1$'; }}; \
         for n in $(seq 3000); do owns && break; usleep 20000; done; read began rest </proc/uptime; \
         for n in $(seq 3000); do grep -q '^4-7$' {other}/cpuset.cpus && break; usleep 20000; done; read ended rest </proc/uptime; \
         awk \"BEGIN {{ print $ended - $began }}\""
    );
    node.shell().run(&line).await.unwrap().success().unwrap().trim().to_owned()
}

/// Beside the kubelet's own manager of whole CPUs: what it gives away is its own, and ours make room. First only observed: every file is as
/// the kubelet wants it.
#[tokio::test]
async fn a_static_cpu_manager_and_the_agent_share_a_node() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings {
        shape: Shape::NUMA,
        files: files("observe"),
        kubelet: json!({ "cpuManagerPolicy": "static", "reservedSystemCPUs": "0" }),
        ..Settings::default()
    };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let two = json!({ "limits": { "cpu": "2", "memory": "64Mi" } });
    let theirs = run(&bench, &pods, &pod("theirs", two)).await;
    let kept = cgroup_file(&node, &theirs, "cpuset.cpus").await;
    assert_eq!(kept, "1-2");

    let agent = Agent::start(&node).await;
    let ml = annotated("ml", json!({ LEVEL: "reclaimed_cores" }), json!({}));
    let ml = run(&bench, &pods, &ml).await;
    let wish = json!({ LEVEL: "dedicated_cores" });
    // A Burstable pod: the kubelet gives it no CPUs of its own.
    let ours = annotated("ours", wish, json!({ "requests": { "cpu": "3" } }));
    let ours = run(&bench, &pods, &ours).await;
    for pod in [&ml, &ours] {
        assert_eq!(cgroup_file(&node, pod, "cpuset.cpus").await, "0,3-7", "only observed");
    }
    assert_eq!(cgroup_file(&node, &ml, "cpu.weight").await, "1");
    assert!(agent.berth("qos").await.contains("default/theirs"));

    assert!(agent.berth("mode enforce").await.contains("enforce"));
    let moved = async || {
        let cpus = cgroup_file(&node, &ours, "cpuset.cpus").await;
        Ok((cpus != "0,3-7").then_some(cpus))
    };
    let own = eventually("our pod to own its CPUs", SOON, moved).await.unwrap();
    assert_eq!(n_cpus(&own), 3, "{own}");
    // The kubelet needs whole CPUs again, and takes some that our pod has.
    let more = json!({ "limits": { "cpu": "2", "memory": "64Mi" } });
    let more = run(&bench, &pods, &pod("more", more)).await;
    let more_cpus = cgroup_file(&node, &more, "cpuset.cpus").await;
    let apart = async || {
        let cpus = cgroup_file(&node, &ours, "cpuset.cpus").await;
        let taken = [kept.as_str(), &more_cpus];
        Ok(taken.iter().all(|taken| are_apart(&cpus, taken)).then_some(cpus))
    };
    let apart = eventually("our pod to leave the kubelet's CPUs", SOON, apart).await;
    assert!(apart.is_ok(), "{apart:?}\n{}\n{}", agent.berth("pools").await, agent.log().await);
    assert_eq!(cgroup_file(&node, &theirs, "cpuset.cpus").await, kept);
    assert_eq!(cgroup_file(&node, &more, "cpuset.cpus").await, more_cpus);
}
