//! Kubernetes' own tests of its storage layer, as programs that talk to any server with etcd's API. Copies the apiserver's
//! module out of Go's cache, puts one file of ours into the copy and builds the tests of two packages. Runs none of them.
//!
//! The copy is the main module of the build, so its own go.mod and go.sum say what goes in. Which version it is, the
//! module of Kubernetes in `xtask/kube` says.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::kube::{self, FLAGS};
use super::kubernetes::module;
use super::shelf::{self, remove};
use super::step::{Needs, Step};
use super::versions::Versions;
use super::{go, shell};

/// Below `pkg/storage` of the module.
pub(crate) const PACKAGES: [&str; 2] = ["etcd3", "cacher"];

const MODULE: &str = "k8s.io/apiserver";
/// Whose tests these are, by the name of its module.
const KUBERNETES: &str = "kubernetes";
/// The only file of the copy that is not upstream's: its tests start their server here.
const TEST_SERVER: &str = include_str!("../../kube/storage-suite/test_server.go");
const TEST_SERVER_PLACE: &str = "pkg/storage/etcd3/testserver/test_server.go";

/// The version of Kubernetes, for people.
pub(crate) fn version(versions: &Versions) -> anyhow::Result<&str> {
    Ok(&module(versions, KUBERNETES)?.version)
}

/// The test program of one package. It runs in the folder of its sources.
pub(crate) fn program(folder: &Path, package: &str) -> PathBuf {
    folder.join(format!("{package}.test"))
}

pub(crate) fn sources(folder: &Path, package: &str) -> PathBuf {
    folder.join(SOURCE).join("pkg/storage").join(package)
}

/// Named after all that went into it.
pub(crate) fn folder(cache: &Path, versions: &Versions) -> anyhow::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    (FLAGS, PACKAGES, TEST_SERVER).hash(&mut hasher);
    let name = format!("{}-{:016x}", version(versions)?, hasher.finish());
    Ok(cache.join(SHELF).join(name))
}

const SHELF: &str = "storage-suite";
const SOURCE: &str = "source";

pub(super) fn step<'a>(cache: &'a Path, versions: &'a Versions) -> Step<'a> {
    let version = version(versions).unwrap_or_default();
    Step {
        name: format!("storage tests of Kubernetes {version} (compiles them once)"),
        needs: Needs::Nothing,
        is_present: Box::new(move || folder(cache, versions).is_ok_and(|it| shelf::is_whole(&it))),
        install: Box::new(move || install(cache, versions)),
    }
}

fn install(cache: &Path, versions: &Versions) -> anyhow::Result<()> {
    let place = folder(cache, versions)?;
    let shelf = cache.join(SHELF);
    let _only_one = shelf::lock(&shelf)?;
    if shelf::is_whole(&place) {
        // Somebody else has built it while we waited.
        return Ok(());
    }
    let staging = shelf.join("suite.part");
    remove(&staging)?;
    let source = staging.join(SOURCE);
    copy(&kube::source_of_required(cache, versions, KUBERNETES, MODULE)?, &source)?;
    let ours = source.join(TEST_SERVER_PLACE);
    fs::write(&ours, TEST_SERVER).with_context(|| format!("write {}", ours.display()))?;
    for package in PACKAGES {
        let mut build = go::command(cache, versions);
        build
            .current_dir(&source)
            .env("CGO_ENABLED", "0")
            .args(["test", "-c", "-vet=off"])
            .args(FLAGS);
        // Lines of a panic's stack need no debug information.
        build.args(["-ldflags", "-s -w", "-o"]).arg(program(&staging, package));
        shell::quiet(build.arg(format!("./pkg/storage/{package}")))
            .with_context(|| format!("build the tests of {package}"))?;
    }
    shelf::put(&staging, &place)
}

/// Go's cache is read-only; the copy is not.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    let mut copy = Command::new("cp");
    shell::quiet(copy.args(["--recursive", "--no-preserve=mode"]).arg(from).arg(to))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{KUBERNETES, MODULE, folder, module};
    use crate::place;
    use crate::setup::versions;

    /// The libraries of Kubernetes 1.36.3 are 0.36.3.
    #[test]
    fn the_module_of_kubernetes_has_the_apiserver_of_its_own_version() {
        let versions = versions::pinned().unwrap();
        let version = &module(&versions, KUBERNETES).unwrap().version;
        let file = place::repo().join("xtask/kube").join(KUBERNETES).join("go.mod");
        let of_libraries = version.replacen("1.", "0.", 1);
        let wanted = format!("{MODULE} => {MODULE} v{of_libraries}");
        assert!(fs::read_to_string(file).unwrap().contains(&wanted), "{wanted}");
        let folder = folder(Path::new("/c"), &versions).unwrap();
        assert!(folder.to_str().unwrap().starts_with(&format!("/c/storage-suite/{version}-")));
    }
}
