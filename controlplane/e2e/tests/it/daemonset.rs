//! The manifests of the agent: as kubectl puts them together, as the apiserver takes them, and what the agent has on a real node.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec};
use kube::{Api, Client};
use testkit::{Bench, Cluster, Kubeconfig, Node, Settings, eventually, shared};

use crate::node::{POD_LIMIT, cgroup_file, run};
use crate::node_agent::{dedicated, n_cpus};

const NAMESPACE: &str = "berth-system";

/// kubectl refuses a field that the apiserver does not know. One after the other in one case: both are about the same objects, and
/// a person who tries the agent goes from the first to the second.
#[tokio::test]
async fn each_overlay_of_the_daemonset_is_taken() {
    let shared = shared().await.unwrap();
    let client = shared.client().await.unwrap();
    apply(shared.kubeconfig(), "observe");
    check(&client, "mode = \"observe\"", &[]).await;
    apply(shared.kubeconfig(), "enforce");
    check(&client, "mode = \"enforce\"", &["DAC_OVERRIDE"]).await;
}

/// With the rights of its manifest and no others, the agent sees everything that it relies on: BPF, real-time priority, locked memory,
/// the cgroups of pods.
#[tokio::test]
async fn the_agent_on_a_node_lacks_nothing() {
    let bench = Bench::of_test().unwrap();
    let cluster = Cluster::start(&bench).await.unwrap();
    let node = cluster.add_node(&bench, &Settings::default()).await.unwrap();
    import_agent(&node);
    let admin = cluster.apiserver().kubeconfig();
    apply(admin, "observe");
    ask(admin, &["rollout", "status", "ds/berth-agent", "--timeout=120s"]);
    let said = ask(admin, &["exec", "ds/berth-agent", "--", "berth", "doctor"]);
    assert!(said.contains("attached by BTF tracepoints"), "{said}");
    assert!(said.contains(" 0 to look at, 0 failed"), "{said}");

    // The other overlay, and a pod with Katalyst's annotations gets what it asks for.
    let pods: Api<Pod> = Api::default_namespaced(cluster.client().await.unwrap());
    apply(admin, "enforce");
    ask(admin, &["rollout", "status", "ds/berth-agent", "--timeout=120s"]);
    let db = run(&bench, &pods, &dedicated("db", "2")).await;
    let own = cgroup_file(&node, &db, "cpuset.cpus").await;
    assert_eq!(n_cpus(&own), 2, "{own}\n{}", ask(admin, &["logs", "ds/berth-agent"]));
    let seen = async || {
        let qos = ask(admin, &["exec", "ds/berth-agent", "--", "berth", "qos"]);
        Ok((qos.contains("default/db") && !qos.contains("berth-agent")).then_some(()))
    };
    eventually("the agent to know the pod, and not itself", POD_LIMIT, seen).await.unwrap();

    // It goes, and pods run on where the kubelet wants them.
    ask(admin, &["delete", "ds/berth-agent", "--wait=true", "--timeout=120s"]);
    let freed = async || {
        let cpus = cgroup_file(&node, &db, "cpuset.cpus.effective").await;
        Ok((cpus == "0-3").then_some(()))
    };
    eventually("the pod to have all CPUs again", POD_LIMIT, freed).await.unwrap();
}

/// `cargo xtask test` makes the image and says where it is.
pub(crate) fn import_agent(node: &Node) {
    let image = env::var_os("BERTH_E2E_AGENT_IMAGE").expect("set by cargo xtask test --tier e2e");
    let mut import = node.shell().command("ctr -n k8s.io images import --local -", false);
    let output = import.stdin(File::open(image).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the agent's CLI prints in its pod; nothing while the kubelet or the agent is on its way back.
pub(crate) fn agent_says(admin: &Kubeconfig, words: &[&str]) -> String {
    let exec = [&["-n", NAMESPACE, "exec", "ds/berth-agent", "--", "berth"], words].concat();
    let output = admin.kubectl().unwrap().args(exec).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What kubectl answers about the agent's namespace.
pub(crate) fn ask(as_user: &Kubeconfig, words: &[&str]) -> String {
    let mut kubectl = as_user.kubectl().unwrap();
    let output = kubectl.args(["-n", NAMESPACE]).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn apply(to: &Kubeconfig, overlay: &str) {
    kubectl_with(&manifests(overlay), to, &["apply", "--server-side"]);
}

/// An overlay of a user.
pub(crate) fn apply_folder(to: &Kubeconfig, folder: &Path) {
    kubectl_with(folder, to, &["apply", "--server-side"]);
}

/// Returns when all of it is gone.
pub(crate) fn delete(from: &Kubeconfig, overlay: &str) {
    kubectl_with(&manifests(overlay), from, &["delete", "--wait=true", "--timeout=180s"]);
}

fn manifests(overlay: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/daemonset").join(overlay)
}

fn kubectl_with(folder: &Path, as_user: &Kubeconfig, words: &[&str]) {
    let mut kubectl = as_user.kubectl().unwrap();
    let output = kubectl.args(words).arg("-k").arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", folder.display());
}

/// The rights that the agent needs to watch a node.
const RIGHTS: [&str; 5] = ["BPF", "PERFMON", "SYS_NICE", "IPC_LOCK", "SYS_RESOURCE"];

/// The pod has this configuration, the rights to watch a node with `more`, and no others.
async fn check(client: &Client, configuration: &str, more: &[&str]) {
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), NAMESPACE);
    let set = sets.get("berth-agent").await.unwrap();
    let pod = set.spec.unwrap().template.spec.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let map = maps.get(&configuration_of(&pod)).await.unwrap();
    let text = &map.data.unwrap()["agent.toml"];
    assert!(text.contains(configuration), "{text}");
    let context = pod.containers[0].security_context.as_ref().unwrap();
    let capabilities = context.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.drop.as_deref().unwrap(), ["ALL"]);
    let expected = [&RIGHTS, more].concat();
    assert_eq!(capabilities.add.as_deref().unwrap(), expected);
    assert_eq!(context.privileged, None);
}

fn configuration_of(pod: &PodSpec) -> String {
    let volumes = pod.volumes.as_ref().unwrap();
    let map = volumes.iter().find_map(|volume| volume.config_map.as_ref());
    map.unwrap().name.clone()
}
