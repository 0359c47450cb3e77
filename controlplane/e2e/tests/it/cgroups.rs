//! Where a node has the cgroups of pods, with the kubelet's driver `cgroupfs` or with `systemd`. Owns the names; reads nothing.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use testkit::Node;

/// The cgroup below which those of pods are.
pub(crate) fn root(node: &Node) -> &'static str {
    if node.has_systemd() { "/sys/fs/cgroup/kubepods.slice" } else { "/sys/fs/cgroup/kubepods" }
}

/// Of a pod's only container; `None` before it was made.
pub(crate) fn of_container(node: &Node, pod: &Pod) -> Option<String> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let id = container.container_id.as_ref()?.trim_start_matches("containerd://");
    let name =
        if node.has_systemd() { format!("cri-containerd-{id}.scope") } else { id.to_owned() };
    Some(format!("{}/{name}", of_pod(node, pod)?))
}

/// Of a pod; `None` before its class is known.
pub(crate) fn of_pod(node: &Node, pod: &Pod) -> Option<String> {
    let class = pod.status.as_ref()?.qos_class.as_deref()?.to_lowercase();
    let (class, uid) = (Some(class).filter(|class| class != "guaranteed"), pod.uid()?);
    Some(if node.has_systemd() { slice(class, &uid) } else { path(class, &uid) })
        .map(|below| format!("{}/{below}", root(node)))
}

fn path(class: Option<String>, uid: &str) -> String {
    class.map_or_else(|| format!("pod{uid}"), |class| format!("{class}/pod{uid}"))
}

/// A dash in a slice's name is a level, so the kubelet has none in a uid.
fn slice(class: Option<String>, uid: &str) -> String {
    let uid = uid.replace('-', "_");
    class.map_or_else(
        || format!("kubepods-pod{uid}.slice"),
        |class| format!("kubepods-{class}.slice/kubepods-{class}-pod{uid}.slice"),
    )
}
