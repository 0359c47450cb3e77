//! The node agent beside a stock kubelet: pods with Katalyst's annotations get what they ask for, in the files of their cgroups.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use testkit::{Bench, Cluster, Node, NodeFile, Settings, Shape, eventually};

use crate::node::{POD_LIMIT, cgroup_file, pod, run};

/// The agent in a node, started from its shell.
pub(crate) struct Agent<'a> {
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

pub(crate) fn file(path: &str, content: Vec<u8>) -> NodeFile {
    NodeFile { path: path.to_owned(), mode: 0o755, content }
}

/// Programs of the host in a folder of a node, with the libraries that a node does not have: it has those of its own programs only.
pub(crate) fn with_libraries(folder: &str, programs: &[(&str, &Path)]) -> Vec<NodeFile> {
    let libraries = Path::new("/lib/x86_64-linux-gnu");
    let libraries = ["libgcc_s.so.1", "libm.so.6"].map(|name| (name, libraries.join(name)));
    let libraries = libraries.iter().map(|(name, path)| (*name, path.as_path()));
    let read = |(name, host): (&str, &Path)| {
        let content = std::fs::read(host);
        let content = content.unwrap_or_else(|error| panic!("read {}: {error}", host.display()));
        file(&format!("{folder}/{name}"), content)
    };
    programs.iter().copied().chain(libraries).map(read).collect()
}

/// The agent, its CLI, their libraries and its configuration.
fn files(mode: &str) -> Vec<NodeFile> {
    files_with(mode, "")
}

/// With more sections in the configuration.
pub(crate) fn files_with(mode: &str, sections: &str) -> Vec<NodeFile> {
    let (agent, berth) = (program("berth-agent"), program("berth"));
    let mut files = with_libraries("/run/berth-bin", &[("berth-agent", &agent), ("berth", &berth)]);
    let config = format!(
        "mode = \"{mode}\"\n[agent]\nwatchdog_grace_ms = 1000\n\
         [recording]\npath = \"/run/berth-bin/recording\"\n[kubernetes]\nnri_socket = \"/var/run/nri/nri.sock\"\n{sections}"
    );
    files.push(file("/run/berth-bin/agent.toml", config.into_bytes()));
    files
}

const ENV: &str = "cd /run/berth-bin && LD_LIBRARY_PATH=/run/berth-bin";

impl<'a> Agent<'a> {
    pub(crate) async fn start(node: &'a Node) -> Agent<'a> {
        let agent = Agent { node };
        agent.spawn().await;
        agent.until_logged("The container runtime is heard").await;
        agent
    }

    pub(crate) async fn spawn(&self) {
        let start = format!(
            "{ENV} setsid sh -c 'echo $$ >pid; exec ./berth-agent run --config agent.toml' >>log 2>&1 </dev/null &"
        );
        self.node.shell().run(&start).await.unwrap().success().unwrap();
    }

    pub(crate) async fn log(&self) -> String {
        self.node.shell().run("cat /run/berth-bin/log").await.unwrap().stdout
    }

    /// What a line of shell in the node prints.
    async fn sh(&self, line: &str) -> String {
        let output = self.node.shell().run(line).await.unwrap();
        format!("{}{}", output.stdout, output.stderr)
    }

    pub(crate) async fn until_logged(&self, words: &str) {
        let logged = async || Ok(self.log().await.contains(words).then_some(()));
        let said = eventually(&format!("the agent to say {words:?}"), POD_LIMIT, logged).await;
        assert!(said.is_ok(), "{said:?}; it says\n{}", self.log().await);
    }

    async fn berth(&self, args: &str) -> String {
        self.sh(&format!("{ENV} ./berth {args}")).await
    }

    /// As an OOM killer takes it; its watchdog lives on.
    pub(crate) async fn kill(&self) {
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

    let db = run(&bench, &pods, &bound_database("db")).await;
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

const SOON: Duration = Duration::from_secs(30);

fn bound_database(name: &str) -> Pod {
    let wish = json!({
        LEVEL: "dedicated_cores",
        "katalyst.kubewharf.io/memory_enhancement": "{\"numa_binding\":\"true\"}",
    });
    annotated(name, wish, json!({ "limits": { "cpu": "2", "memory": "64Mi" } }))
}

/// CPUs of a list such as `0,3-7`.
fn cpus(list: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    };
    list.split(',').flat_map(range).collect()
}

/// A pod that owns so many CPUs, wherever they are.
pub(crate) fn dedicated(name: &str, n_cpus: &str) -> Pod {
    let wish = json!({ LEVEL: "dedicated_cores" });
    annotated(name, wish, json!({ "limits": { "cpu": n_cpus, "memory": "64Mi" } }))
}

pub(crate) fn n_cpus(list: &str) -> usize {
    cpus(list).len()
}

fn are_apart(one: &str, other: &str) -> bool {
    let other = cpus(other);
    cpus(one).iter().all(|cpu| !other.contains(cpu))
}
