//! An agent that observes changes nothing: every writable file of every cgroup of pods is as it is without one.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;
use testkit::{Bench, Cluster, Settings, eventually};

use crate::knobs::Knobs;
use crate::node::{pod, run_all};
use crate::node_agent::{Agent, LEVEL, SOON, annotated, dedicated, files};

#[tokio::test]
async fn an_observing_agent_changes_no_file_of_any_pod() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings { files: files("observe"), ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let early = of_each_level(&bench, &pods, "early").await;
    let before = Knobs::of(&node).await;

    let agent = Agent::start(&node).await;
    let late = of_each_level(&bench, &pods, "late").await;
    let planned = async || {
        let qos = agent.berth("qos").await;
        let is_planned = |name: &str| {
            let line = qos.lines().find(|line| line.starts_with(&format!("default/{name}-own")));
            line.is_some_and(|line| line.contains("dedicated") && line.contains("(plan "))
        };
        Ok((is_planned("early") && is_planned("late")).then_some(()))
    };
    let planned = eventually("the agent to plan what it does not write", SOON, planned).await;
    assert!(planned.is_ok(), "{planned:?}\n{}\n{}", agent.berth("qos").await, agent.log().await);
    // A few more turns of the loop.
    tokio::time::sleep(Duration::from_secs(5)).await;

    let with = Knobs::of(&node).await;
    assert_eq!(before.of_pods().changed_in(&with), [""; 0]);
    for (early, late) in early.iter().zip(&late) {
        assert_eq!(with.of_pod(&node, late), before.of_pod(&node, early));
    }
    agent.sh("kill $(cat /run/berth-bin/pid)").await;
    agent.until_gone().await;
    let after = Knobs::of(&node).await;
    assert_eq!(with.but_weights_of_classes().changed_in(&after), [""; 0]);
    bench.note(&format!("{} files as an observing agent found them", after.len())).unwrap();
}

async fn of_each_level(bench: &Bench, pods: &Api<Pod>, name: &str) -> Vec<Pod> {
    let level = |level: &str| json!({ LEVEL: level });
    let asks = json!({ "requests": { "cpu": "100m", "memory": "16Mi" } });
    let wanted = [
        dedicated(&format!("{name}-own"), "1"),
        pod(&format!("{name}-shared"), asks.clone()),
        annotated(&format!("{name}-reclaimed"), level("reclaimed_cores"), json!({})),
        annotated(&format!("{name}-system"), level("system_cores"), asks),
    ];
    run_all(bench, pods, &wanted).await
}
