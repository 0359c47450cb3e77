//! The agent on a node whose PID 1 is systemd, which makes the cgroups of pods for kubelet and runtime and writes their files too.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use testkit::{Bench, Cluster, Kubeconfig, Node, Settings, Shape, Start, eventually};

use crate::cgroups;
use crate::daemonset::{apply, ask, delete, import_agent};
use crate::knobs::Knobs;
use crate::node::{POD_LIMIT, cgroup_file, life, pod, run, run_all};
use crate::node_agent::{Agent, LEVEL, SOON, annotated, bound_database, files, until_file};
use crate::placement::until_right;
use crate::watch::Watch;

const HEARD: &str = "The container runtime is heard";

/// What systemd was told of a slice or a scope it writes again when it reads its units anew, and behind a change of any of its properties;
/// kubelet and runtime tell it things when they start again. The agent's values are back within two of its turns.
#[tokio::test]
async fn the_agent_and_systemd_write_the_same_cgroups() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let mut node = with_systemd(&bench, &cluster).await;
    let admin = cluster.apiserver().kubeconfig();
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    let ml = annotated("ml", json!({ LEVEL: "reclaimed_cores" }), asks());
    let wanted = [pod("web", asks()), ml, bound_database("db")];
    let early = run_all(&bench, &pods, &wanted).await;
    // Of some files systemd has an opinion of its own (`memory.oom.group`): that is no trace of the agent.
    assert_eq!(Agent::of(&node).sh("systemctl daemon-reload").await, "");
    let before = Knobs::of(&node).await.of_pods();

    install(&node, admin);
    until_right(&Agent::of(&node), &pods, POD_LIMIT).await;
    let watched = placed(&node, &early).await;
    let watch = Watch::start(&node, watched).await;
    let reloaded = Agent::of(&node).sh("systemctl daemon-reload").await;
    assert_eq!(reloaded, "");
    node.restart_kubelet().await.unwrap();
    restart_containerd(&node).await;
    let agent = Agent::of(&node);
    let second = run(&bench, &pods, &bound_database("second")).await;
    assert_eq!(cgroup_file(&node, &second, "cpuset.cpus").await, "2-3");
    until_right(&agent, &pods, POD_LIMIT).await;
    bench.note(&watch.end(2).await).unwrap();

    delete(admin, "enforce");
    assert_eq!(agent.sh("systemctl daemon-reload").await, "");
    let after = Knobs::of(&node).await;
    assert_eq!(before.with_inherited().changed_in(&after.with_inherited()), [""; 0]);
    for pod in &early {
        assert_eq!(life(&pods.get(&pod.name_any()).await.unwrap()), life(pod));
    }
}

async fn with_systemd(bench: &Bench, cluster: &Cluster) -> Node {
    let settings = Settings {
        shape: Shape::NUMA,
        files: files("enforce"),
        start: Start::BootedBySystemd,
        ..Settings::default()
    };
    let node = cluster.add_node(bench, &settings).await.unwrap();
    let ready_s = node.timings().ready.as_secs_f64();
    bench.note(&format!("a node with systemd is Ready {ready_s:.1} s after its start")).unwrap();
    node
}

fn asks() -> Value {
    json!({ "requests": { "cpu": "500m", "memory": "16Mi" } })
}

/// From its image, with the rights of its manifest.
fn install(node: &Node, admin: &Kubeconfig) {
    import_agent(node);
    apply(admin, "enforce");
    ask(admin, &["rollout", "status", "ds/berth-agent", "--timeout=180s"]);
}

/// Waits until a service, batch work and an owner are where they belong: returns those of their files that stay as they are when another
/// owner comes.
async fn placed(node: &Node, pods: &[Pod]) -> Vec<String> {
    let [web, ml, db] = pods else { unreachable!("those were asked for") };
    let agent = Agent::of(node);
    let of =
        |pod: &Pod, file: &str| format!("{}/{file}", cgroups::of_container(node, pod).unwrap());
    let weight = format!("{}/cpu.weight", cgroups::of_pod(node, ml).unwrap());
    for (pod, file, expect) in [
        (web, "cpuset.cpus", "4-7"),
        (ml, "cpuset.cpus", "2-7"),
        (db, "cpuset.cpus", "0-1"),
        (db, "cpuset.mems", "0"),
    ] {
        until_file(&agent, pod, file, expect, SOON).await;
    }
    assert_eq!(agent.sh(&format!("cat {weight}")).await, "1\n");
    vec![weight, of(web, "cpuset.cpus"), of(db, "cpuset.cpus"), of(db, "cpuset.mems")]
}

/// The kubelet may still be on its way back and answers nobody then: its log of the agent lies in the node.
async fn restart_containerd(node: &Node) {
    let agent = Agent::of(node);
    let log = "cat /var/log/pods/berth-system_*/agent/*.log";
    let n_heard = async || agent.sh(log).await.matches(HEARD).count();
    let before = n_heard().await;
    agent.sh("kill -9 $(pidof containerd)").await;
    let again = async || Ok((n_heard().await > before).then_some(()));
    eventually("the agent to hear the runtime again", SOON, again).await.unwrap();
}
