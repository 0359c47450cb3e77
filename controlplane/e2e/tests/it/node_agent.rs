//! The agent in a node, started from the node's shell, and the pods that it looks after: what the cases about it share.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use testkit::{Node, NodeFile, built, eventually};

use crate::node::{POD_LIMIT, cgroup_file, pod};

/// The agent in a node, started from its shell.
pub(crate) struct Agent<'a> {
    pub(crate) node: &'a Node,
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
pub(crate) fn files(mode: &str) -> Vec<NodeFile> {
    files_with(mode, "")
}

/// With more sections in the configuration.
pub(crate) fn files_with(mode: &str, sections: &str) -> Vec<NodeFile> {
    plain_files(mode, &format!("[recording]\npath = \"/run/berth-bin/recording\"\n{sections}"))
}

/// Without a recording, as most agents run.
pub(crate) fn plain_files(mode: &str, sections: &str) -> Vec<NodeFile> {
    let (agent, berth) = (built("berth-agent").unwrap(), built("berth").unwrap());
    let mut files = with_libraries("/run/berth-bin", &[("berth-agent", &agent), ("berth", &berth)]);
    let config = format!(
        "mode = \"{mode}\"\n[agent]\nwatchdog_grace_ms = 1000\n\
         [kubernetes]\nnri_socket = \"/var/run/nri/nri.sock\"\n{sections}"
    );
    files.push(file("/run/berth-bin/agent.toml", config.into_bytes()));
    files
}

pub(crate) const ENV: &str = "cd /run/berth-bin && LD_LIBRARY_PATH=/run/berth-bin";

impl<'a> Agent<'a> {
    pub(crate) async fn start(node: &'a Node) -> Agent<'a> {
        let agent = Agent { node };
        agent.spawn().await;
        agent.until_logged("The container runtime is heard").await;
        agent
    }

    /// Of a node where something else starts it; its socket is where it always is.
    pub(crate) fn of(node: &'a Node) -> Agent<'a> {
        Agent { node }
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
    pub(crate) async fn sh(&self, line: &str) -> String {
        let output = self.node.shell().run(line).await.unwrap();
        format!("{}{}", output.stdout, output.stderr)
    }

    pub(crate) async fn until_logged(&self, words: &str) {
        let logged = async || Ok(self.log().await.contains(words).then_some(()));
        let said = eventually(&format!("the agent to say {words:?}"), POD_LIMIT, logged).await;
        assert!(said.is_ok(), "{said:?}; it says\n{}", self.log().await);
    }

    /// How often it has said so, by all its lives.
    pub(crate) async fn n_logged(&self, words: &str) -> usize {
        self.log().await.matches(words).count()
    }

    /// Waits for the next time.
    pub(crate) async fn until_logged_again(&self, words: &str, before: usize) {
        let again = async || Ok((self.n_logged(words).await > before).then_some(()));
        let said = eventually(&format!("the agent to say {words:?} again"), POD_LIMIT, again).await;
        assert!(said.is_ok(), "{said:?}; it says\n{}", self.log().await);
    }

    pub(crate) async fn berth(&self, args: &str) -> String {
        self.sh(&format!("{ENV} ./berth {args}")).await
    }

    /// Resident memory of its process.
    /// A field of its `status` in KiB: `VmRSS`, of which `RssAnon` is what it holds and `RssFile` mostly its program.
    pub(crate) async fn memory_kib(&self, field: &str) -> u64 {
        let line = self.sh(&format!("grep {field} /proc/$(cat /run/berth-bin/pid)/status")).await;
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect(&line)
    }

    /// Time of CPUs that its process has used; its children are not counted.
    pub(crate) async fn cpu_ms(&self) -> u64 {
        let stat = self.sh("cat /proc/$(cat /run/berth-bin/pid)/stat").await;
        let (_, fields) = stat.rsplit_once(')').expect(&stat);
        let ticks =
            fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        // A hundred ticks a second (proc(5), USER_HZ).
        ticks.sum::<u64>() * 10
    }

    /// Waits for the end of its process.
    pub(crate) async fn until_gone(&self) {
        let gone = async || {
            let alive = self.sh("[ -d /proc/$(cat /run/berth-bin/pid) ] && echo alive").await;
            Ok(alive.is_empty().then_some(()))
        };
        eventually("the agent to end", SOON, gone).await.unwrap();
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

/// What is written within the next readings: some seconds, and so much on a machine that is busy with other things.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// Waits until a file of a pod's container says so; with what it says, and what the agent says, if it does not.
pub(crate) async fn until_file(
    agent: &Agent<'_>,
    pod: &Pod,
    name: &str,
    expect: &str,
    limit: Duration,
) {
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

pub(crate) fn annotated(name: &str, annotations: Value, resources: Value) -> Pod {
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

pub(crate) const LEVEL: &str = "katalyst.kubewharf.io/qos_level";

pub(crate) fn bound_database(name: &str) -> Pod {
    let wish = json!({
        LEVEL: "dedicated_cores",
        "katalyst.kubewharf.io/memory_enhancement": "{\"numa_binding\":\"true\"}",
    });
    annotated(name, wish, json!({ "limits": { "cpu": "2", "memory": "64Mi" } }))
}

/// A pod that owns so many CPUs, wherever they are.
pub(crate) fn dedicated(name: &str, n_cpus: &str) -> Pod {
    let wish = json!({ LEVEL: "dedicated_cores" });
    annotated(name, wish, json!({ "limits": { "cpu": n_cpus, "memory": "64Mi" } }))
}

/// CPUs of a list such as `0,3-7`.
pub(crate) fn cpus(list: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    };
    list.split(',').flat_map(range).collect()
}

pub(crate) fn n_cpus(list: &str) -> usize {
    cpus(list).len()
}

pub(crate) fn are_apart(one: &str, other: &str) -> bool {
    let other = cpus(other);
    cpus(one).iter().all(|cpu| !other.contains(cpu))
}
