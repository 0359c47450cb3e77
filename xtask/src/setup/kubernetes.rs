//! Which Kubernetes a control plane and its nodes are: two modules of `xtask/kube`, most often the same one. A further minor is
//! a row of `versions.toml` and a module; nothing here knows a version.

use anyhow::{Context as _, bail};

use super::versions::{GoModule, Versions};

/// What is meant when nobody says which; the only one that `cargo xtask test` builds.
const USUAL: &str = "kubernetes";

/// On the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Choice {
    /// Minor version of Kubernetes, one of `cargo xtask kube versions`
    #[arg(long, value_name = "MINOR")]
    kubernetes: Option<String>,
    /// The same for the nodes alone: a kubelet may be older than its control plane
    #[arg(long = "node-kubernetes", value_name = "MINOR")]
    node_kubernetes: Option<String>,
}

impl Choice {
    pub(crate) fn is_usual(&self) -> bool {
        self.kubernetes.is_none() && self.node_kubernetes.is_none()
    }

    pub(crate) fn among(&self, versions: &Versions) -> anyhow::Result<Kubernetes> {
        let named = |minor: &Option<String>| {
            minor.as_deref().map(|minor| named(minor, versions)).transpose()
        };
        let servers = named(&self.kubernetes)?.unwrap_or_else(|| USUAL.to_owned());
        let nodes = named(&self.node_kubernetes)?.unwrap_or_else(|| servers.clone());
        Ok(Kubernetes { servers, nodes })
    }
}

/// Names of modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kubernetes {
    pub(crate) servers: String,
    /// The kubelet's.
    pub(crate) nodes: String,
}

impl Kubernetes {
    pub(crate) fn usual() -> Kubernetes {
        Kubernetes { servers: USUAL.to_owned(), nodes: USUAL.to_owned() }
    }

    /// What a soak tries beside the usual one: all of another release, and its nodes under the usual control plane.
    pub(crate) fn others(versions: &Versions) -> Vec<Kubernetes> {
        let others = releases(versions).filter(|(name, _)| *name != USUAL);
        let pairs = others.flat_map(|(name, _)| [(name, name), (USUAL, name)]);
        let kubernetes = |(servers, nodes): (&str, &str)| Kubernetes {
            servers: servers.to_owned(),
            nodes: nodes.to_owned(),
        };
        pairs.map(kubernetes).collect()
    }

    /// The versions, for people: "1.36.3", and behind it the nodes' if that is another.
    pub(crate) fn title(&self, versions: &Versions) -> String {
        let version = |name| versions.kube.get(name).map_or("", |it| it.version.as_str());
        let (servers, nodes) = (version(&self.servers), version(&self.nodes));
        if servers == nodes { servers.to_owned() } else { format!("{servers} nodes {nodes}") }
    }

    /// Is `name` a release that the control plane is not of?
    pub(super) fn is_other_than_servers(&self, name: &str, versions: &Versions) -> bool {
        name != self.servers && releases(versions).any(|(it, _)| it == name)
    }
}

/// Every release of Kubernetes, by the name of its module.
fn releases(versions: &Versions) -> impl Iterator<Item = (&str, &GoModule)> {
    let module = versions.kube.get(USUAL).map(|it| it.module.as_str());
    let all = versions.kube.iter().map(|(name, it)| (name.as_str(), it));
    all.filter(move |(_, it)| Some(it.module.as_str()) == module)
}

fn named(minor: &str, versions: &Versions) -> anyhow::Result<String> {
    let is_of = |version: &str| {
        version == minor || version.strip_prefix(minor).is_some_and(|rest| rest.starts_with('.'))
    };
    if let Some((name, _)) = releases(versions).find(|(_, it)| is_of(&it.version)) {
        return Ok(name.to_owned());
    }
    let known: Vec<_> = releases(versions).map(|(_, it)| it.version.as_str()).collect();
    bail!("no Kubernetes {minor:?} in xtask/versions.toml, which has {}", known.join(" and "))
}

/// Fails for a name that a typing mistake made.
pub(crate) fn module<'a>(versions: &'a Versions, name: &str) -> anyhow::Result<&'a GoModule> {
    versions.kube.get(name).with_context(|| format!("no {name} in xtask/versions.toml"))
}

#[cfg(test)]
mod tests {
    use super::super::versions;
    use super::{Choice, Kubernetes, USUAL, releases};

    #[track_caller]
    fn check(kubernetes: Option<&str>, nodes: Option<&str>, expected: (&str, &str)) {
        let choice = Choice {
            kubernetes: kubernetes.map(str::to_owned),
            node_kubernetes: nodes.map(str::to_owned),
        };
        let chosen = choice.among(&versions::pinned().unwrap()).unwrap();
        assert_eq!((chosen.servers.as_str(), chosen.nodes.as_str()), expected);
    }

    #[test]
    fn nodes_are_of_the_release_of_their_servers_unless_somebody_says_otherwise() {
        check(None, None, (USUAL, USUAL));
        check(Some("1.35"), None, ("kubernetes-1.35", "kubernetes-1.35"));
        check(None, Some("1.35"), (USUAL, "kubernetes-1.35"));
        check(Some("1.35.4"), Some("1.36"), ("kubernetes-1.35", USUAL));
    }

    #[test]
    fn a_release_that_there_is_not_is_refused_with_those_that_there_are() {
        for minor in ["1.3", "1.35.", "", "v1.35", "9.9"] {
            let choice = Choice { kubernetes: Some(minor.to_owned()), node_kubernetes: None };
            let said = choice.among(&versions::pinned().unwrap()).unwrap_err().to_string();
            assert!(said.contains(&format!("{minor:?}")) && said.contains("1.36.3"), "{said}");
        }
    }

    #[test]
    fn a_soak_tries_each_other_release_whole_and_under_the_usual_servers() {
        let versions = versions::pinned().unwrap();
        let others = Kubernetes::others(&versions);
        assert_eq!(others.len(), 2 * (releases(&versions).count() - 1));
        assert!(others.iter().all(|it| it.nodes != USUAL));
        let usual = Kubernetes::usual();
        assert!(usual.is_other_than_servers("kubernetes-1.35", &versions));
        for name in ["etcd", USUAL] {
            assert!(!usual.is_other_than_servers(name, &versions), "{name}");
        }
        assert_eq!(others[1].title(&versions), "1.36.3 nodes 1.35.4");
    }
}
