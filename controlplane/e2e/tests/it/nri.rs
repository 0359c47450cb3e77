//! The conversation with the NRI of a real containerd: registration, faults, its end and the next one, and in a node what becomes of
//! containers.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use proto::nri::{ContainerUpdate, Event, LinuxContainerUpdate, LinuxCpu, LinuxResources};
use runtime::nri::{self, Answer, Call, Ended, Identity, UpdateError};
use serde_json::json;
use testkit::{Bench, Cluster, Containerd, Node, Settings, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::node::{POD_LIMIT, cgroup_file, pod, run};
use crate::node_agent::with_libraries;

const LIMIT: Duration = Duration::from_secs(90);

/// One conversation in the background that remembers the names of the calls it heard.
struct Conversation {
    heard: Arc<Mutex<Vec<String>>>,
    runtime: nri::Runtime,
    ended: JoinHandle<Ended>,
}

impl Conversation {
    fn begin(socket: &Path, name: &str, index: u8) -> Conversation {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (runtime, mut pushes) = nri::runtime();
        let (socket, log) = (socket.to_owned(), Arc::clone(&heard));
        let identity = Identity { name: name.to_owned(), index };
        let ended = tokio::spawn(async move {
            let plugin = |call: &Call| {
                let said = match call {
                    Call::Configure(it) => format!("Configure by {}", it.runtime_name),
                    call => call.name().to_owned(),
                };
                log.lock().unwrap().push(said);
                answer(call)
            };
            nri::serve(&socket, &identity, &mut pushes, plugin).await
        });
        Conversation { heard, runtime, ended }
    }

    async fn until_heard(&self, expected: &[&str]) {
        let heard = async || Ok((*self.heard.lock().unwrap() == expected).then_some(()));
        eventually(&format!("the calls {expected:?}"), LIMIT, heard).await.unwrap();
    }

    async fn end(self) -> Ended {
        tokio::time::timeout(LIMIT, self.ended).await.unwrap().unwrap()
    }
}

fn answer(call: &Call) -> Answer {
    match call {
        Call::Configure(_) => Answer::Configured {
            events: nri::mask(&[Event::CreateContainer, Event::UpdateContainer]),
        },
        Call::Synchronize(_) => Answer::Synchronized { update: Vec::new() },
        _ => Answer::Done,
    }
}

#[tokio::test]
async fn a_plugin_is_registered_and_hears_who_the_runtime_is() {
    let bench = Bench::of_test().unwrap();
    let mut containerd = Containerd::start(&bench).await.unwrap();
    let socket = containerd.nri_socket();
    let first = Conversation::begin(&socket, "berth", 10);
    first.until_heard(&["Configure by containerd", "Synchronize"]).await;
    // Names and places need not differ.
    let second = Conversation::begin(&socket, "berth", 10);
    second.until_heard(&["Configure by containerd", "Synchronize"]).await;

    // containerd takes an update of a container that it does not know for one that has ended.
    let failed = first.runtime.update(vec![update("no-such-container")]).await.unwrap();
    assert_eq!(failed, []);

    containerd.kill();
    for conversation in [first, second] {
        let runtime = conversation.runtime.clone();
        let ended = conversation.end().await;
        assert!(matches!(ended, Ended::Closed | Ended::Socket(_)), "{ended}");
        let told = runtime.update(Vec::new()).await;
        assert!(matches!(told, Err(UpdateError::Disconnected)), "{told:?}");
    }
    let ended = Conversation::begin(&socket, "berth", 10).end().await;
    assert!(matches!(ended, Ended::Connect { .. }), "{ended}");

    containerd.start_again().await.unwrap();
    let next = Conversation::begin(&socket, "berth", 10);
    next.until_heard(&["Configure by containerd", "Synchronize"]).await;
}

/// Nobody has to start the plugin again when the runtime was away.
#[tokio::test]
async fn a_plugin_comes_back_when_the_runtime_does() {
    let bench = Bench::of_test().unwrap();
    let mut containerd = Containerd::start(&bench).await.unwrap();
    let (heard, ended) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (socket, n_heard, log) = (containerd.nri_socket(), Arc::clone(&heard), Arc::clone(&ended));
    let (_runtime, mut pushes) = nri::runtime();
    let kept = tokio::spawn(async move {
        let identity = Identity { name: "berth".to_owned(), index: 10 };
        let plugin = |call: &Call| {
            *n_heard.lock().unwrap() += u32::from(matches!(call, Call::Synchronize(_)));
            answer(call)
        };
        let told = |why: &Ended, _| log.lock().unwrap().push(why.to_string());
        nri::keep(&socket, &identity, &mut pushes, plugin, told).await
    });
    for round in 1..=2 {
        let synchronized = async || Ok((*heard.lock().unwrap() == round).then_some(()));
        eventually(&format!("Synchronize number {round}"), LIMIT, synchronized).await.unwrap();
        containerd.kill();
        let tried = ended.lock().unwrap().len() + 2;
        let again = async || Ok((ended.lock().unwrap().len() >= tried).then_some(()));
        eventually("two tries without a runtime", LIMIT, again).await.unwrap();
        containerd.start_again().await.unwrap();
    }
    kept.abort();
    let ended = ended.lock().unwrap();
    assert!(ended.iter().any(|why| why.contains("connect to ")), "{ended:?}");
}

#[tokio::test]
async fn a_name_that_the_runtime_does_not_take_is_its_refusal() {
    let bench = Bench::of_test().unwrap();
    let containerd = Containerd::start(&bench).await.unwrap();
    for (name, index) in [("", 10), ("be/rth", 10), ("berth", 200)] {
        let ended = Conversation::begin(&containerd.nri_socket(), name, index).end().await;
        let told = ended.to_string();
        assert!(matches!(ended, Ended::Refused(_) | Ended::Closed), "{name:?} {index}: {told}");
    }
}

/// A plugin that dies in the middle of a frame takes nobody with it.
#[tokio::test]
async fn a_plugin_cut_off_in_a_frame_leaves_the_runtime_and_the_others_alone() {
    let bench = Bench::of_test().unwrap();
    let containerd = Containerd::start(&bench).await.unwrap();
    let socket = containerd.nri_socket();
    let other = Conversation::begin(&socket, "other", 20);
    other.until_heard(&["Configure by containerd", "Synchronize"]).await;
    for cut in
        [b"\0\0\0\x02".as_slice(), b"\0\0\0\x02\0\0\0\x50\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(cut).await.unwrap();
    }
    let next = Conversation::begin(&socket, "berth", 10);
    next.until_heard(&["Configure by containerd", "Synchronize"]).await;
    assert!(other.runtime.update(Vec::new()).await.unwrap().is_empty());
}

fn update(id: &str) -> ContainerUpdate {
    let cpu = LinuxCpu { cpus: "0".to_owned(), ..LinuxCpu::default() };
    let resources = LinuxResources { cpu: Some(cpu), ..LinuxResources::default() };
    ContainerUpdate {
        container_id: id.to_owned(),
        linux: Some(LinuxContainerUpdate { resources: Some(resources) }),
        ignore_failure: false,
    }
}

/// In a node: what is adjusted stands in the container's cgroup, stays there when the kubelet asserts its own, and moves when we say so.
#[tokio::test]
async fn containers_get_and_keep_the_cpus_that_a_plugin_gives_them() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let plugin = Path::new(env!("CARGO_BIN_EXE_pin-plugin"));
    let settings = Settings {
        kubelet: json!({ "cpuManagerPolicy": "static", "reservedSystemCPUs": "0" }),
        files: with_libraries("/run/pin", &[("plugin", plugin)]),
        ..Settings::default()
    };
    let node = cluster.add_node(&bench, &settings).await.unwrap();
    let start = "cd /run/pin && LD_LIBRARY_PATH=/run/pin setsid ./plugin /var/run/nri/nri.sock to >log 2>&1 </dev/null &";
    node.shell().run(start).await.unwrap().success().unwrap();
    until_logged(&node, "Synchronize").await;
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());

    let pinned = run(&bench, &pods, &pinned("pinned", "2")).await;
    assert_eq!(cgroup_file(&node, &pinned, "cpuset.cpus").await, "2");
    // CPUs 1 and 2 become another container's, and the kubelet moves all others away from them.
    let exclusive = pod("exclusive", json!({ "limits": { "cpu": "2", "memory": "64Mi" } }));
    run(&bench, &pods, &exclusive).await;
    until_logged(&node, "UpdateContainer main").await;
    assert_eq!(cgroup_file(&node, &pinned, "cpuset.cpus").await, "2");

    node.shell().run("echo 3 >/run/pin/to").await.unwrap().success().unwrap();
    until_logged(&node, "moved to 3: Ok([])").await;
    assert_eq!(cgroup_file(&node, &pinned, "cpuset.cpus").await, "3");

    // Without the plugin pods start as ever.
    node.shell().run("kill -9 $(pidof plugin)").await.unwrap().success().unwrap();
    let later = run(&bench, &pods, &self::pinned("later", "2")).await;
    assert_ne!(cgroup_file(&node, &later, "cpuset.cpus").await, "2");
}

fn pinned(name: &str, cpus: &str) -> Pod {
    let mut pod = pod(name, json!({}));
    pod.annotations_mut().insert("bench.test/cpus".to_owned(), cpus.to_owned());
    pod
}

async fn until_logged(node: &Node, words: &str) {
    let log = async || node.shell().run("cat /run/pin/log 2>&1").await.unwrap().stdout;
    let logged = async || Ok(log().await.contains(words).then_some(()));
    let said = eventually(&format!("the plugin to say {words:?}"), POD_LIMIT, logged).await;
    assert!(said.is_ok(), "{said:?}; it says\n{}", log().await);
}
