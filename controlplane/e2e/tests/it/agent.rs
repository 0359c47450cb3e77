//! The node agent beside a stock kubelet: pods with Katalyst's annotations get what they ask for, in the files of their cgroups.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use testkit::{Bench, Cluster, Node, NodeFile, Settings, Shape, eventually};

use crate::node::{POD_LIMIT, cgroup_file, pod, run};

/// The agent in a node, started from its shell.
struct Agent<'a> {
    node: &'a Node,
}

/// The agent's programs are built beside the tests.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap().parent().unwrap();
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is missing: cargo build --profile ci -p agent -p cli",
        path.display()
    );
    path
}

fn file(path: &str, content: Vec<u8>) -> NodeFile {
    NodeFile { path: path.to_owned(), mode: 0o755, content }
}

/// The agent, its CLI, their libraries and its configuration.
fn files(mode: &str) -> Vec<NodeFile> {
    let read = |path: &Path| {
        std::fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
    };
    let mut files: Vec<NodeFile> = ["berth-agent", "berth"]
        .map(|name| file(&format!("/run/berth-bin/{name}"), read(&program(name))))
        .into();
    for name in ["libgcc_s.so.1", "libm.so.6"] {
        let host = Path::new("/lib/x86_64-linux-gnu").join(name);
        files.push(file(&format!("/run/berth-bin/{name}"), read(&host)));
    }
    let config = format!(
        "mode = \"{mode}\"\n[host]\nmanaged_cgroup = \"/kubepods\"\n[agent]\nwatchdog_grace_ms = 1000\n\
         [kubernetes]\nnri_socket = \"/var/run/nri/nri.sock\"\n"
    );
    files.push(file("/run/berth-bin/agent.toml", config.into_bytes()));
    files
}

const ENV: &str = "cd /run/berth-bin && LD_LIBRARY_PATH=/run/berth-bin";

impl<'a> Agent<'a> {
    async fn start(node: &'a Node) -> Agent<'a> {
        let agent = Agent { node };
        agent.spawn().await;
        agent.until_logged("The container runtime is heard").await;
        agent
    }

    async fn spawn(&self) {
        let start = format!(
            "{ENV} setsid sh -c 'echo $$ >pid; exec ./berth-agent run --config agent.toml' >>log 2>&1 </dev/null &"
        );
        self.node.shell().run(&start).await.unwrap().success().unwrap();
    }

    async fn log(&self) -> String {
        self.node.shell().run("cat /run/berth-bin/log").await.unwrap().stdout
    }

    async fn until_logged(&self, words: &str) {
        let logged = async || Ok(self.log().await.contains(words).then_some(()));
        let said = eventually(&format!("the agent to say {words:?}"), POD_LIMIT, logged).await;
        assert!(said.is_ok(), "{said:?}; it says\n{}", self.log().await);
    }

    async fn berth(&self, args: &str) -> String {
        let output = self.node.shell().run(&format!("{ENV} ./berth {args}")).await.unwrap();
        format!("{}{}", output.stdout, output.stderr)
    }

    /// As an OOM killer takes it; its watchdog lives on.
    async fn kill(&self) {
        self.node
            .shell()
            .run("kill -9 $(cat /run/berth-bin/pid)")
            .await
            .unwrap()
            .success()
            .unwrap();
    }
}

fn annotated(name: &str, annotations: Value, resources: Value) -> Pod {
    let mut pod = pod(name, resources);
    pod.annotations_mut().extend(
        annotations
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())),
    );
    pod
}

const LEVEL: &str = "katalyst.kubewharf.io/qos_level";

/// Waits until a file of a pod's container says so; with what it says, and what the agent says, if it does not.
async fn until_file(agent: &Agent<'_>, pod: &Pod, name: &str, expect: &str, limit: Duration) {
    let there = async || Ok((cgroup_file(agent.node, pod, name).await == expect).then_some(()));
    if eventually(&format!("{name} of {} to be {expect}", pod.name_any()), limit, there)
        .await
        .is_err()
    {
        let found = cgroup_file(agent.node, pod, name).await;
        let (log, pools) = (agent.log().await, agent.berth("pools").await);
        panic!("{name} of {} is {found}, not {expect}\n{pools}\n{log}", pod.name_any());
    }
}

#[tokio::test]
async fn pods_get_the_cpus_that_their_annotations_ask_for() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let settings = Settings { shape: Shape::NUMA, files: files("enforce"), ..Settings::default() };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let early = run(&bench, &pods, &pod("early", json!({ "requests": { "cpu": "500m" } }))).await;
    let agent = Agent::start(&node).await;

    let two = json!({ "limits": { "cpu": "2", "memory": "64Mi" } });
    let wish = json!({
        LEVEL: "dedicated_cores",
        "katalyst.kubewharf.io/memory_enhancement": "{\"numa_binding\":\"true\"}",
    });
    let db = run(&bench, &pods, &annotated("db", wish, two)).await;
    let own = cgroup_file(&node, &db, "cpuset.cpus").await;
    assert_eq!(own, "0-1");
    assert_eq!(cgroup_file(&node, &db, "cpuset.mems").await, "0");
    until_file(&agent, &early, "cpuset.cpus", "4-7", Duration::from_secs(20)).await;

    let ml =
        run(&bench, &pods, &annotated("ml", json!({ LEVEL: "reclaimed_cores" }), json!({}))).await;
    agent.kill().await;
    until_file(&agent, &early, "cpuset.cpus.effective", "0-7", Duration::from_secs(20)).await;
    until_file(&agent, &db, "cpuset.cpus.effective", "0-7", Duration::from_secs(20)).await;
}
