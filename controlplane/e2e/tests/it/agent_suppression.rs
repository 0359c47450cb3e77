//! A pod of batch work is held down when a service beside it wakes, on a real node.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::{Value, json};
use testkit::{Bench, Cluster, Settings, eventually};

use crate::node::run;
use crate::node_agent::{Agent, LEVEL, annotated, files};

/// In an emulated node everything takes its time.
const LIMIT: Duration = Duration::from_secs(180);

/// Two loops for each CPU of the node, and they end by themselves.
const HOG: &str = "for n in 1 2 3 4 5 6 7 8; do (end=$(($(date +%s) + 90)); while [ $(date +%s) -lt $end ]; do for i in $(seq 500); do :; done; done) & done; wait; sleep 1000";
/// Sleeps and works, many times a second.
const SERVICE: &str =
    "while :; do for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do :; done; usleep 3000; done";

#[tokio::test]
async fn batch_work_is_held_down_while_a_service_wakes() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings { files: files("enforce"), ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let agent = Agent::start(&node).await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    run(&bench, &pods, &working("web", json!({}), SERVICE)).await;
    run(&bench, &pods, &working("hog", json!({ LEVEL: "reclaimed_cores" }), HOG)).await;

    let held = async || {
        let said = agent.berth("decisions").await;
        let line = said
            .lines()
            .find(|line| line.contains("suppress-begin") && line.contains("default/web"));
        Ok(line.map(str::to_owned))
    };
    let held = eventually("the service's wait to hold batch work down", LIMIT, held).await;
    let held = match held {
        Ok(held) => held,
        Err(error) => panic!(
            "{error}\n{}\n{}",
            agent.berth("decisions").await,
            agent.berth("top --once").await
        ),
    };
    bench.note(&held).unwrap();
    let said = agent.berth("why-slow default/web").await;
    assert!(said.contains("default/hog"), "{said}");
}

fn working(name: &str, annotations: Value, script: &str) -> Pod {
    let mut pod = annotated(name, annotations, json!({}));
    let container = &mut pod.spec.as_mut().unwrap().containers[0];
    container.command = Some(["sh", "-c", script].map(str::to_owned).to_vec());
    pod
}
