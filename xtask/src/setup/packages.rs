//! Debian programs that a group of tests runs: `packages/<group>/` below the cache, each package unpacked with those it
//! depends on that the machine lacks. Nothing is installed, so no daemon starts and nothing of the machine changes.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::debs::Archive;
use super::kernel::remove;
use super::step::{Needs, Step};
use super::versions::Versions;

/// The root that the packages of a group are unpacked into: `usr/bin` and so on are below it.
pub(crate) fn folder(cache: &Path, group: &str) -> PathBuf {
    cache.join("packages").join(group)
}

/// What a program of the group is started with, so that it finds the libraries that came with it.
pub(crate) fn library_path(root: &Path) -> OsString {
    // The last one: a library that its users name by a path of the installed system.
    let own =
        ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/pulseaudio"]
            .map(|path| root.join(path));
    let inherited = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = own.into_iter().chain(env::split_paths(&inherited));
    // A cache folder with `:` in its name cannot be searched; the program then says which library it misses.
    env::join_paths(folders.filter(|path| !path.as_os_str().is_empty())).unwrap_or_default()
}

pub(super) fn step<'a>(cache: &'a Path, group: &'a str, versions: &'a Versions) -> Step<'a> {
    Step {
        name: format!("Debian programs of group {group}"),
        needs: Needs::Archive,
        is_present: Box::new(move || is_present(cache, group, versions)),
        install: Box::new(move || install(cache, group, versions)),
    }
}

fn is_present(cache: &Path, group: &str, versions: &Versions) -> bool {
    let stamped = fs::read_to_string(folder(cache, group).join("packages")).ok();
    stamped == versions.packages.get(group).map(stamp)
}

fn install(cache: &Path, group: &str, versions: &Versions) -> anyhow::Result<()> {
    let packages = versions.packages.get(group);
    let packages = packages.with_context(|| format!("no packages of {group} in versions.toml"))?;
    let place = folder(cache, group);
    let staging = place.with_extension("part");
    remove(&staging)?;
    let archive = Archive::of_machine();
    let targets: Result<Vec<_>, _> = packages
        .iter()
        .map(|(package, version)| archive.pinned_or_newest(package, version))
        .collect();
    archive.fetch_with_dependencies(&targets?, &staging)?;
    fs::write(staging.join("packages"), stamp(packages))
        .with_context(|| format!("write the stamp of {}", staging.display()))?;
    remove(&place)?;
    fs::rename(&staging, &place).with_context(|| format!("move into {}", place.display()))
}

/// What the file `packages` says: a changed pin brings a new set-up.
pub(super) fn stamp(packages: &BTreeMap<String, String>) -> String {
    packages.iter().map(|(package, version)| format!("{package}={version}\n")).collect()
}
