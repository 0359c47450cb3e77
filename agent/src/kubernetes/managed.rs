//! Where the kubelet of this node has the cgroups of pods, when the configuration does not say. Looks once, before anything is opened.

use anyhow::ensure;
use hostfs::{CgroupTree, HostRoot};
use model::qos::CgroupPath;
use tracing::info;

use crate::config::Config;

/// With the drivers `systemd` and `cgroupfs`, and the same below a `--cgroup-root` as kind has it.
const PLACES: [&str; 4] =
    ["/kubepods.slice", "/kubepods", "/kubelet.slice/kubelet-kubepods.slice", "/kubelet/kubepods"];

/// The driver of a kubelet that has pods in this cgroup: systemd's are slices.
pub(crate) fn driver_of(managed: &str) -> &'static str {
    if managed.ends_with(".slice") { "systemd" } else { "cgroupfs" }
}

/// Where there is a cgroup of pods of this driver, in the tree of all cgroups.
pub(crate) fn place_of(driver: &str, tree: &CgroupTree) -> Option<&'static str> {
    let mut places = PLACES.into_iter().filter(|place| driver_of(place) == driver);
    places.find(|place| tree.cgroup(&CgroupPath::from(*place)).is_ok())
}

/// The configuration with the managed cgroup of a node of Kubernetes.
///
/// # Errors
/// When no kubelet has made its cgroups yet.
pub fn with_managed_cgroup(mut config: Config) -> anyhow::Result<Config> {
    if config.kubernetes.is_none() || config.lines.contains_key("host.managed_cgroup") {
        return Ok(config);
    }
    let host = HostRoot::new(&config.host.root);
    // A host without cgroup v2 is told about where its tree is opened.
    let Ok(tree) = CgroupTree::open(&host, &CgroupPath::from("/")) else { return Ok(config) };
    let found = PLACES.into_iter().find(|place| tree.cgroup(&CgroupPath::from(*place)).is_ok());
    ensure!(
        found.is_some(),
        "find the cgroup of pods: none of {} exists; the kubelet makes it when it starts, or set \
         host.managed_cgroup",
        PLACES.join(", ")
    );
    if let Some(place) = found {
        info!(managed_cgroup = place, "Pods are below");
        config.host.managed_cgroup = place.to_owned();
    }
    Ok(config)
}
