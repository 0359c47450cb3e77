//! The real components that tests run against: etcd, Kubernetes, containerd, network plugins, kine. Builds each module of
//! `xtask/kube` into a folder of the cache that is named after all that went into it. Starts none of them.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use super::kubernetes::{Kubernetes, module};
use super::shelf::{self, remove};
use super::step::{Needs, Step};
use super::versions::{GoModule, Versions};
use super::{go, shell};
use crate::place;

/// What tests without nodes need.
pub(super) fn control_plane(kubernetes: &Kubernetes) -> [&str; 2] {
    ["etcd", &kubernetes.servers]
}

/// The same with a node.
pub(super) fn with_node(kubernetes: &Kubernetes) -> [&str; 5] {
    ["etcd", &kubernetes.servers, &kubernetes.nodes, "containerd", "cni"]
}

/// What an apiserver can store its objects with.
pub(super) const STORE: [&str; 2] = ["etcd", "kine"];

pub(super) fn steps<'a>(cache: &'a Path, versions: &'a Versions, names: &[&str]) -> Vec<Step<'a>> {
    let mut steps = vec![go::step(cache, versions)];
    for (name, module) in &versions.kube {
        if names.contains(&name.as_str()) {
            steps.push(Step {
                name: format!("{name} {} (compiles it once)", module.version),
                needs: Needs::Nothing,
                is_present: Box::new(move || {
                    folder(cache, name, module).is_ok_and(|it| shelf::is_whole(&it))
                }),
                install: Box::new(move || install(cache, versions, name)),
            });
        }
    }
    steps
}

/// The folders with the programs, once set up: of several releases, that of the servers.
pub(crate) fn folders(
    cache: &Path,
    versions: &Versions,
    kubernetes: &Kubernetes,
) -> anyhow::Result<Vec<PathBuf>> {
    let all = versions.kube.iter();
    let needed = all.filter(|(name, _)| !kubernetes.is_other_than_servers(name, versions));
    needed.map(|(name, module)| folder(cache, name, module)).collect()
}

/// The folder of one component's programs.
pub(crate) fn folder_of(cache: &Path, versions: &Versions, name: &str) -> anyhow::Result<PathBuf> {
    folder(cache, name, module(versions, name)?)
}

/// Where Go keeps the sources that a component is built of; fetches them when they have gone.
pub(crate) fn source_of(cache: &Path, versions: &Versions, name: &str) -> anyhow::Result<PathBuf> {
    source_of_required(cache, versions, name, &module(versions, name)?.module)
}

/// The same for a module that the component requires, in the version that its go.mod says.
pub(super) fn source_of_required(
    cache: &Path,
    versions: &Versions,
    name: &str,
    required: &str,
) -> anyhow::Result<PathBuf> {
    let mut ask = go::command(cache, versions);
    ask.current_dir(source(name)).args(["mod", "download", "-json", required]);
    let answer: Download = serde_json::from_str(&shell::output(&mut ask)?)
        .with_context(|| format!("read what {ask:?} says"))?;
    Ok(answer.dir)
}

/// What `go mod download -json` says of a module, as far as it is of use here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Download {
    dir: PathBuf,
}

/// It exists only when every program in it is whole.
fn folder(cache: &Path, name: &str, module: &GoModule) -> anyhow::Result<PathBuf> {
    let key = key(&source(name), module)?;
    Ok(cache.join("kube").join(format!("{name}-{}-{key:016x}", module.version)))
}

fn source(name: &str) -> PathBuf {
    place::repo().join("xtask/kube").join(name)
}

/// Of everything that goes into the programs. A tool-chain that hashes differently only costs a build.
fn key(source: &Path, module: &GoModule) -> anyhow::Result<u64> {
    let mut hasher = DefaultHasher::new();
    (FLAGS, linker_flags(module), &module.tags, &module.programs).hash(&mut hasher);
    // Only where there is one, so that the builds of all others stay what they are.
    module.cgo.iter().for_each(|flags| flags.hash(&mut hasher));
    for file in ["go.mod", "go.sum", "kube/main.go"].map(|file| source.join(file)) {
        if file.exists() {
            let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            text.hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

/// `readonly`: what is built is what go.mod and go.sum say, or nothing. `trimpath`: the same on every machine.
pub(super) const FLAGS: [&str; 3] = ["-mod=readonly", "-trimpath", "-buildvcs=false"];

fn linker_flags(module: &GoModule) -> String {
    // Without symbol table and debug information, which nobody reads here and which double the size.
    let stamps = module.stamps.iter().map(|(variable, value)| format!(" -X {variable}={value}"));
    "-s -w".to_owned() + &stamps.collect::<String>()
}

fn install(cache: &Path, versions: &Versions, name: &str) -> anyhow::Result<()> {
    let module = module(versions, name)?;
    let place = folder(cache, name, module)?;
    let shelf = cache.join("kube");
    let _only_one = shelf::lock(&shelf)?;
    if shelf::is_whole(&place) {
        // Somebody else has built it while we waited.
        return Ok(());
    }
    let staging = shelf.join(format!("{name}.part"));
    remove(&staging)?;
    for (program, package) in &module.programs {
        let mut build = go::command(cache, versions);
        let (cgo, c_flags) = module.cgo.as_deref().map_or(("0", ""), |flags| ("1", flags));
        build.env("CGO_ENABLED", cgo).env("CGO_CFLAGS", c_flags);
        build.current_dir(source(name)).arg("build").args(FLAGS);
        build.args(["-tags", &module.tags, "-ldflags", &linker_flags(module), "-o"]);
        shell::quiet(build.arg(staging.join(program)).arg(package))
            .with_context(|| format!("build {program}"))?;
    }
    shelf::put(&staging, &place)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::versions;
    use super::{key, linker_flags, source};

    /// The table that people read and the file that Go reads.
    #[test]
    fn every_module_requires_the_version_of_the_table() {
        for (name, module) in versions::pinned().unwrap().kube {
            let text = fs::read_to_string(source(&name).join("go.mod")).unwrap();
            let wanted = format!("{} v{}", module.module, module.version);
            let found = text.lines().any(|line| {
                let line = line.trim().trim_start_matches("require ");
                line.strip_suffix(" // indirect").unwrap_or(line) == wanted
            });
            assert!(found, "{name}/go.mod does not require {wanted}");
        }
    }

    #[test]
    fn another_stamp_is_another_build() {
        let mut module = versions::pinned().unwrap().kube.remove("kubernetes").unwrap();
        let before = key(&source("kubernetes"), &module).unwrap();
        assert!(linker_flags(&module).contains("version.gitVersion=v1.36.3"));
        module.stamps.clear();
        assert_eq!(linker_flags(&module), "-s -w");
        assert_ne!(key(&source("kubernetes"), &module).unwrap(), before);
    }
}
