//! Pods that are resized in place: CPUs follow, and no container starts again.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use testkit::{Bench, Cluster, Settings, Shape, eventually};

use crate::node::{POD_LIMIT, cgroup_file, life, pod, run};
use crate::node_agent::{Agent, SOON, dedicated, files, n_cpus};
use crate::placement::until_right;

#[tokio::test]
async fn cpus_follow_a_pod_that_is_resized_in_place() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings { shape: Shape::NUMA, files: files("enforce"), ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let agent = Agent::start(&node).await;
    let db = run(&bench, &pods, &dedicated("db", "2")).await;
    let web = run(&bench, &pods, &pod("web", requests("500m"))).await;
    until_right(&agent, &pods, SOON).await;
    assert_eq!(n_cpus(&cgroup_file(&node, &db, "cpuset.cpus").await), 2);

    for n in [3, 1, 2] {
        let took = resize(&pods, &db, limits(&n.to_string())).await;
        let owns =
            async || Ok((n_cpus(&cgroup_file(&node, &db, "cpuset.cpus").await) == n).then_some(()));
        let began = Instant::now();
        let owned = eventually(&format!("db to own {n} CPUs"), SOON, owns).await;
        assert!(
            owned.is_ok(),
            "{owned:?}\n{}\n{}",
            agent.berth("explain default/db").await,
            agent.log().await
        );
        let owned = began.elapsed().as_secs_f64();
        until_right(&agent, &pods, SOON).await;
        let note = format!(
            "db resized to {n} CPUs after {:.1} s, it owns them {owned:.1} s later",
            took.as_secs_f64()
        );
        bench.note(&note).unwrap();
    }
    for (cpu, shown) in [("1500m", "1.50"), ("250m", "0.25")] {
        resize(&pods, &web, requests(cpu)).await;
        let known = async || {
            let qos = agent.berth("qos").await;
            let line = qos.lines().find(|line| line.contains("default/web"));
            Ok(line.is_some_and(|line| line.contains(shown)).then_some(()))
        };
        let known =
            eventually(&format!("the agent to know that web asks for {cpu}"), SOON, known).await;
        assert!(known.is_ok(), "{known:?}\n{}", agent.berth("qos").await);
        until_right(&agent, &pods, SOON).await;
    }
    for pod in [&db, &web] {
        let now = pods.get(&pod.name_any()).await.unwrap();
        assert_eq!(life(&now), life(pod));
    }
}

fn limits(cpu: &str) -> Value {
    json!({ "limits": { "cpu": cpu, "memory": "64Mi" }, "requests": { "cpu": cpu, "memory": "64Mi" } })
}

fn requests(cpu: &str) -> Value {
    json!({ "requests": { "cpu": cpu } })
}

/// Asks for other resources of the only container and waits until the kubelet has carried it out.
async fn resize(pods: &Api<Pod>, pod: &Pod, resources: Value) -> Duration {
    let began = Instant::now();
    let name = pod.name_any();
    let wanted = resources["requests"]["cpu"].as_str().unwrap().to_owned();
    let patch = json!({ "spec": { "containers": [{ "name": "main", "resources": resources }] } });
    let patch = Patch::Strategic(patch);
    pods.patch_subresource("resize", &name, &PatchParams::default(), &patch).await.unwrap();
    let done = async || {
        let pod = json!(pods.get(&name).await?);
        let has = &pod["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"];
        Ok((has.as_str() == Some(&wanted)).then_some(()))
    };
    if let Err(error) = eventually(&format!("{name} to have {wanted}"), POD_LIMIT, done).await {
        panic!("{error:#}\n{:#?}", pods.get(&name).await.unwrap().status);
    }
    began.elapsed()
}
