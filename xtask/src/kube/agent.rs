//! `cargo xtask kube up --agent`: the node agent on every node of the playground, as its users get it: the image, imported by each
//! node's containerd, and an overlay of `deploy/daemonset`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use super::playground::Playground;
use crate::image::agent;
use crate::setup::shell;
use crate::test::build::Profile;
use crate::{place, setup};

/// The playground has no addresses of services: its nodes reach the apiserver as their kubelets do, and so does the agent.
const PATCH: &str = include_str!("../../../controlplane/testkit/src/agent_patch.yaml");

/// A folder of `deploy/daemonset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Overlay {
    /// The agent watches and writes nothing
    Observe,
    /// The agent acts
    Enforce,
}

impl Overlay {
    fn folder(self) -> PathBuf {
        let name = match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        };
        place::repo().join("deploy/daemonset").join(name)
    }
}

/// The image in a file, which is made before a cluster is started for it.
pub(crate) fn image() -> anyhow::Result<PathBuf> {
    setup::ensure(setup::Group::Agent)?;
    let image = agent::build(Profile::Ci, agent::REFERENCE)?;
    let path = place::target().join("berth-agent.tar");
    fs::write(&path, image.archive).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Returns when the agent is ready on every node.
pub(super) fn bring(cluster: &Playground, overlay: Overlay, image: &Path) -> anyhow::Result<()> {
    let nodes = names(&shell::output(cluster.kubectl()?.args(["get", "nodes", "-o", "name"]))?);
    ensure!(!nodes.is_empty(), "the agent needs a node; leave --nodes out");
    for node in &nodes {
        println!("agent: {} to node {node}", agent::REFERENCE);
        import(cluster.exec(node, "ctr -n k8s.io images import --local -")?, image)?;
    }
    let folder = overlay.folder();
    let kind = place::repo().join("deploy/crds/customnoderesources.yaml");
    for (what, path) in [("-f", &kind), ("-k", &folder)] {
        println!("agent: kubectl apply --server-side {what} {}", path.display());
        shell::quiet(cluster.kubectl()?.args(["apply", "--server-side", what]).arg(path))?;
    }
    point_to_apiserver(cluster)?;
    wait(cluster)?;
    println!("agent: ready on {} of {} nodes", nodes.len(), nodes.len());
    println!(
        "`cargo xtask kube kubectl berth top nodes` shows them; `... kubectl berth help` what else there is"
    );
    Ok(())
}

fn point_to_apiserver(cluster: &Playground) -> anyhow::Result<()> {
    let server = ["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"];
    let server = shell::output(cluster.kubectl()?.args(server))?;
    let port = port(&server).with_context(|| format!("the apiserver's port in {server:?}"))?;
    let patch = PATCH.replace("%PORT%", &port.to_string());
    let mut kubectl = cluster.kubectl()?;
    shell::quiet(kubectl.args(["-n", "berth-system", "patch", "ds/berth-agent", "-p", &patch]))
}

fn port(server: &str) -> Option<u16> {
    server.trim().rsplit_once(':')?.1.parse().ok()
}

fn names(answer: &str) -> Vec<String> {
    let names = answer.lines().filter_map(|line| line.strip_prefix("node/"));
    names.map(str::to_owned).collect()
}

fn import(mut ctr: Command, image: &Path) -> anyhow::Result<()> {
    let file = File::open(image).with_context(|| format!("open {}", image.display()))?;
    shell::quiet(ctr.stdin(file)).context("import the agent's image")
}

/// An emulated node takes 10 s.
fn wait(cluster: &Playground) -> anyhow::Result<()> {
    let mut wait = cluster.kubectl()?;
    wait.args(["-n", "berth-system", "rollout", "status", "ds/berth-agent", "--timeout=120s"]);
    shell::quiet(&mut wait).context(
        "the agent does not become ready; the cluster stays up: \
         cargo xtask kube kubectl -n berth-system describe pods",
    )
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::{Overlay, names, port};

    #[test]
    fn nodes_are_known_by_name() {
        assert_eq!(names("node/127.0.0.2\nnode/a\n"), ["127.0.0.2", "a"]);
        assert!(names("").is_empty());
    }

    #[test]
    fn the_port_is_the_last_part_of_the_address() {
        assert_eq!(port("https://127.0.0.1:16443"), Some(16443));
        assert_eq!(port("https://127.0.0.1"), None);
        assert_eq!(port(""), None);
    }

    #[test]
    fn every_overlay_has_its_folder() {
        for overlay in Overlay::value_variants() {
            let folder = overlay.folder();
            assert!(folder.join("kustomization.yaml").exists(), "{}", folder.display());
        }
    }
}
