//! A real node: kernel, containerd and kubelet in a VM. Pods run, are reached, are ended, and have the cgroups that they should.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node as Object, Pod};
use kube::api::{AttachParams, DeleteParams, ListParams, LogParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use testkit::{Bench, Cluster, Node, Settings, Shape, Start, eventually};
use tokio::io::AsyncReadExt as _;

use crate::cgroups;

/// Four times what a quiet machine takes.
pub(crate) const POD_LIMIT: Duration = Duration::from_secs(180);

/// The whole life of pods on one node, with the CPU manager that gives whole CPUs away.
#[tokio::test]
async fn pods_run_on_a_real_node_in_the_cgroups_of_their_class() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings {
        kubelet: json!({ "cpuManagerPolicy": "static", "reservedSystemCPUs": "0" }),
        ..Settings::default()
    };
    let mut node = cluster.add_node(&bench, &settings).await.unwrap();
    let ready_s = node.timings().ready.as_secs_f64();
    let mib = node.memory_kib().unwrap() / 1024;
    let client = cluster.client().await.unwrap();
    let versions = versions(&client, &node).await;
    bench
        .note(&format!("{versions}: a restored node is Ready after {ready_s:.1} s, {mib} MiB"))
        .unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client);

    let guaranteed = run(
        &bench,
        &pods,
        &pod("guaranteed", json!({ "limits": { "cpu": "2", "memory": "64Mi" } })),
    )
    .await;
    let best_effort = run(&bench, &pods, &pod("best-effort", json!({}))).await;
    assert_eq!(guaranteed.spec.as_ref().unwrap().node_name, Some(node.name()));

    let exclusive = cgroup_file(&node, &guaranteed, "cpuset.cpus.effective").await;
    assert_eq!(exclusive, "1-2");
    assert_eq!(cgroup_file(&node, &guaranteed, "memory.max").await, (64 << 20).to_string());
    assert_eq!(cgroup_file(&node, &best_effort, "cpuset.cpus.effective").await, "0,3");
    assert_eq!(cgroup_file(&node, &best_effort, "cpu.weight").await, "1");

    assert_eq!(pods.logs("guaranteed", &LogParams::default()).await.unwrap(), "hello\n");
    assert_eq!(
        exec(&pods, "best-effort", &["sh", "-c", "echo from inside"]).await,
        "from inside\n"
    );

    node.restart_kubelet().await.unwrap();
    assert_eq!(cgroup_file(&node, &guaranteed, "cpuset.cpus.effective").await, "1-2");

    for name in ["guaranteed", "best-effort"] {
        pods.delete(name, &DeleteParams::default().grace_period(1)).await.unwrap();
    }
    for name in ["guaranteed", "best-effort"] {
        let gone = async || Ok(pods.get_opt(name).await?.is_none().then_some(()));
        eventually(&format!("{name} to be gone"), POD_LIMIT, gone).await.unwrap();
    }
    let left = node.shell().run("ls -d /sys/fs/cgroup/kubepods/pod*").await.unwrap();
    assert_ne!(left.code, Some(0), "{}", left.stdout);
    node.forget().await.unwrap();
}

/// A node that really boots: how long until it is Ready, its first pod runs and the next one, on the machine as it is now.
#[tokio::test]
async fn soak_a_node_boots_and_runs_its_first_pods() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let booted = Settings { start: Start::Booted, ..Settings::default() };
    let node = cluster.add_node(&bench, &booted).await.unwrap();
    let ready_s = node.timings().ready.as_secs_f64();
    bench.note(&format!("a booted node is Ready after {ready_s:.1} s")).unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    for name in ["first", "second", "third"] {
        let pod = run(&bench, &pods, &pod(name, json!({}))).await;
        assert_eq!(pod.spec.as_ref().unwrap().node_name, Some(node.name()));
    }
}

/// Two nodes beside each other, with a kubelet that has no policies: a Deployment that wants both gets both, and each node has
/// its own kubelet at its own address.
#[tokio::test]
async fn soak_a_deployment_spreads_over_two_nodes() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let booted = Settings { start: Start::Booted, ..Settings::default() };
    let first = cluster.add_node(&bench, &booted).await.unwrap();
    let numa = Settings { shape: Shape::NUMA, ..Settings::default() };
    let second = cluster.add_node(&bench, &numa).await.unwrap();
    for (node, how) in [(&first, "booted"), (&second, "restored NUMA")] {
        let ready_s = node.timings().ready.as_secs_f64();
        bench.note(&format!("a {how} node is Ready after {ready_s:.1} s")).unwrap();
    }
    let nodes = second.shell().run("ls -d /sys/devices/system/node/node*").await.unwrap();
    assert_eq!(nodes.success().unwrap().lines().count(), 2);
    let client = cluster.client().await.unwrap();
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    deployments.create(&PostParams::default(), &spread(2)).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client);
    let running = async || {
        let pods = pods.list(&ListParams::default()).await?.items;
        let running = pods.iter().filter(|pod| phase(pod) == Some("Running")).count();
        Ok((running == 2).then_some(pods))
    };
    let both = eventually("two pods to run", POD_LIMIT, running).await.unwrap();
    let mut places: Vec<_> =
        both.iter().filter_map(|it| it.spec.as_ref()?.node_name.clone()).collect();
    places.sort();
    assert_eq!(places, [first.name(), second.name()]);
    for pod in &both {
        let said = pods.logs(&pod.name_any(), &LogParams::default()).await.unwrap();
        assert_eq!(said, "hello\n");
    }
}

fn spread(replicas: i32) -> Deployment {
    let labels = json!({ "app": "spread" });
    let mut template = json!(pod("unused", json!({})));
    template["metadata"] = json!({ "labels": labels });
    template["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": labels },
    }]);
    let object = json!({
        "metadata": { "name": "spread" },
        "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": template },
    });
    serde_json::from_value(object).unwrap()
}

/// What the apiserver and a node say that they are.
async fn versions(client: &Client, node: &Node) -> String {
    let nodes: Api<Object> = Api::all(client.clone());
    let object = nodes.get(&node.name()).await.unwrap();
    let kubelet = object.status.unwrap().node_info.unwrap().kubelet_version;
    format!(
        "apiserver {}, kubelet {kubelet}",
        client.apiserver_version().await.unwrap().git_version
    )
}

pub(crate) fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// Creates a pod and waits until it runs.
pub(crate) async fn run(bench: &Bench, pods: &Api<Pod>, pod: &Pod) -> Pod {
    let began = Instant::now();
    pods.create(&PostParams::default(), pod).await.unwrap();
    let name = pod.name_any();
    let pod = until_running(pods, &name).await;
    let seconds = began.elapsed().as_secs_f64();
    bench.note(&format!("pod {name} runs {seconds:.1} s after its creation")).unwrap();
    pod
}

/// Creates pods at once and waits until all of them run.
pub(crate) async fn run_all(bench: &Bench, pods: &Api<Pod>, wanted: &[Pod]) -> Vec<Pod> {
    let began = Instant::now();
    for pod in wanted {
        pods.create(&PostParams::default(), pod).await.unwrap();
    }
    let mut running = Vec::new();
    for wanted in wanted {
        let name = wanted.name_any();
        running.push(until_running(pods, &name).await);
    }
    let (seconds, n_pods) = (began.elapsed().as_secs_f64(), wanted.len());
    bench.note(&format!("{n_pods} pods run {seconds:.1} s after their creation")).unwrap();
    running
}

async fn until_running(pods: &Api<Pod>, name: &str) -> Pod {
    let running = async || {
        let pod = pods.get(name).await?;
        Ok((phase(&pod) == Some("Running")).then_some(pod))
    };
    eventually(&format!("{name} to run"), POD_LIMIT, running).await.unwrap()
}

/// What a file of the cgroup of a pod's only container says, read in the node.
pub(crate) async fn cgroup_file(node: &Node, pod: &Pod, file: &str) -> String {
    let path = format!("{}/{file}", cgroups::of_container(node, pod).unwrap());
    node.shell().run(&format!("cat {path}")).await.unwrap().success().unwrap().trim().to_owned()
}

/// The container that runs, and how often it was started again.
pub(crate) fn life(pod: &Pod) -> (String, i32) {
    let container = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
    (container.container_id.clone().unwrap(), container.restart_count)
}

async fn exec(pods: &Api<Pod>, name: &str, words: &[&str]) -> String {
    let mut process = pods
        .exec(name, words.iter().copied(), &AttachParams::default().stderr(false))
        .await
        .unwrap();
    let mut said = String::new();
    process.stdout().unwrap().read_to_string(&mut said).await.unwrap();
    process.join().await.unwrap();
    said
}

pub(crate) fn pod(name: &str, resources: Value) -> Pod {
    let container = json!({
        "name": "main",
        "image": "bench.test/box:1",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "echo hello; exec sleep 1000"],
        "resources": resources,
    });
    let object = json!({ "metadata": { "name": name }, "spec": { "containers": [container] } });
    serde_json::from_value(object).unwrap()
}
