//! The crate graph as plain values, read from `cargo metadata`. Owns the JSON; knows no rule.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::cargo::cargo;

/// The platform the product runs on; edges of other platforms do not count.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Crates and what they depend on.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Workspace members and their folders, relative to the root and without a trailing slash.
    pub(super) members: BTreeMap<String, String>,
    /// Between members.
    pub(super) edges: BTreeSet<Edge>,
    /// Every crate with its normal dependencies, by name. Two versions of one library are one
    /// entry: the rules are about names.
    pub(super) normal: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) kind: Kind,
    pub(super) from: String,
    pub(super) to: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Normal,
    Dev,
    Build,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Normal => "normal",
            Kind::Dev => "dev",
            Kind::Build => "build",
        })
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({})", self.from, self.to, self.kind)
    }
}

impl Graph {
    pub(super) fn read(root: &Path) -> anyhow::Result<Graph> {
        let arguments =
            ["metadata", "--format-version", "1", "--locked", "--filter-platform", PLATFORM];
        let output = cargo(root).args(arguments).output().context("failed to start cargo")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata ended with {}: {told}", output.status);
        let raw = serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
        Ok(Graph::from_raw(&raw, root))
    }

    fn from_raw(raw: &RawMetadata, root: &Path) -> Graph {
        let ids: BTreeSet<&str> = raw.workspace_members.iter().map(String::as_str).collect();
        let names: BTreeMap<&str, &RawPackage> =
            raw.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let mut graph = Graph::default();
        for package in raw.packages.iter().filter(|package| ids.contains(package.id.as_str())) {
            graph.members.insert(package.name.clone(), folder(package, root));
        }
        for node in &raw.resolve.nodes {
            let Some(from) = names.get(node.id.as_str()) else { continue };
            for dependency in &node.deps {
                let Some(to) = names.get(dependency.pkg.as_str()) else { continue };
                for kind in dependency.dep_kinds.iter().map(RawKind::kind) {
                    graph.add(kind, &from.name, &to.name);
                }
            }
        }
        graph
    }

    /// Adds one dependency; members have to be known before.
    pub(super) fn add(&mut self, kind: Kind, from: &str, to: &str) {
        if self.members.contains_key(from) && self.members.contains_key(to) {
            let (from, to) = (from.to_owned(), to.to_owned());
            self.edges.insert(Edge { kind, from, to });
        }
        if kind == Kind::Normal {
            self.normal.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
    }

    /// Is `name` a member whose folder lies below `folder` (which ends with `/`) or is it?
    pub(super) fn is_below(&self, name: &str, folder: &str) -> bool {
        self.members.get(name).is_some_and(|own| format!("{own}/").starts_with(folder))
    }

    /// Libraries that `name` reaches over normal dependencies, our own crates left out.
    pub(super) fn external_of(&self, name: &str) -> BTreeSet<String> {
        let reached = self.reach(name).into_keys();
        reached.filter(|name| !self.members.contains_key(name)).collect()
    }

    /// The shortest way from one crate to another, both included.
    pub(super) fn path(&self, from: &str, to: &str) -> Vec<String> {
        let came_from = self.reach(from);
        let mut path = vec![to.to_owned()];
        while let Some(before) = path.last().and_then(|name| came_from.get(name)) {
            path.push(before.clone());
        }
        path.reverse();
        path
    }

    /// Every crate reachable from `from`, with the one it was first reached from.
    fn reach(&self, from: &str) -> BTreeMap<String, String> {
        let mut came_from: BTreeMap<String, String> = BTreeMap::new();
        let mut waiting = VecDeque::from([from.to_owned()]);
        while let Some(name) = waiting.pop_front() {
            for next in self.normal.get(&name).into_iter().flatten() {
                if next != from && !came_from.contains_key(next) {
                    came_from.insert(next.clone(), name.clone());
                    waiting.push_back(next.clone());
                }
            }
        }
        came_from
    }
}

fn folder(package: &RawPackage, root: &Path) -> String {
    let manifest = Path::new(&package.manifest_path);
    let folder = manifest.parent().unwrap_or(manifest);
    folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned()
}

#[derive(Debug, Deserialize)]
struct RawMetadata {
    packages: Vec<RawPackage>,
    workspace_members: Vec<String>,
    resolve: RawResolve,
}

#[derive(Debug, Deserialize)]
struct RawPackage {
    id: String,
    name: String,
    manifest_path: String,
}

#[derive(Debug, Deserialize)]
struct RawResolve {
    nodes: Vec<RawNode>,
}

#[derive(Debug, Deserialize)]
struct RawNode {
    id: String,
    deps: Vec<RawDependency>,
}

#[derive(Debug, Deserialize)]
struct RawDependency {
    pkg: String,
    dep_kinds: Vec<RawKind>,
}

#[derive(Debug, Deserialize)]
struct RawKind {
    /// Absent for a normal dependency.
    kind: Option<String>,
}

impl RawKind {
    fn kind(&self) -> Kind {
        match self.kind.as_deref() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        }
    }
}
