//! The manifests of the agent: as kubectl puts them together and as the apiserver takes them.

use std::path::Path;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec};
use kube::{Api, Client};
use testkit::{Kubeconfig, shared};

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

fn apply(to: &Kubeconfig, overlay: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/daemonset").join(overlay);
    let mut kubectl = to.kubectl().unwrap();
    let output = kubectl.args(["apply", "--server-side", "-k"]).arg(&folder).output().unwrap();
    assert!(output.status.success(), "{overlay}: {}", String::from_utf8_lossy(&output.stderr));
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
