//! Debian programs that a group of tests runs: `packages/<group>-<key>/` below the cache, each package unpacked with those it
//! depends on that the machine lacks. Nothing is installed, so no daemon starts and nothing of the machine changes. Clones of the
//! repository with other pins share the cache, so the key is what was pinned.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::debs::Archive;
use super::shelf::{self, remove};
use super::step::{Needs, Step};
use super::versions::Versions;

/// The root that the packages of a group are unpacked into: `usr/bin` and so on are below it.
pub(crate) fn folder(cache: &Path, group: &str, versions: &Versions) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    pins(group, versions).hash(&mut hasher);
    cache.join("packages").join(format!("{group}-{:016x}", hasher.finish()))
}

/// A group is either named by `versions.toml` or all that it takes from another suite, under the suite's name.
fn pins<'a>(group: &str, versions: &'a Versions) -> Option<&'a BTreeMap<String, String>> {
    versions.packages.get(group).or_else(|| versions.suite.get(group))
}

/// What a program of the group is started with, so that it finds the libraries that came with it.
pub(crate) fn library_path(root: &Path) -> OsString {
    // The last ones: libraries that their users name by a path of the installed system.
    let own = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| root.join(path));
    let private = ["pulseaudio", "systemd"].map(|name| own[0].join(name));
    let inherited = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = own.into_iter().chain(private).chain(env::split_paths(&inherited));
    // A cache folder with `:` in its name cannot be searched; the program then says which library it misses.
    env::join_paths(folders.filter(|path| !path.as_os_str().is_empty())).unwrap_or_default()
}

pub(super) fn step<'a>(cache: &'a Path, group: &'a str, versions: &'a Versions) -> Step<'a> {
    checked_step(cache, group, versions, |_| Ok(()))
}

/// The same with a look at what was unpacked, before it counts as there.
pub(super) fn checked_step<'a>(
    cache: &'a Path,
    group: &'a str,
    versions: &'a Versions,
    check: fn(&Path) -> anyhow::Result<()>,
) -> Step<'a> {
    Step {
        name: format!("Debian programs of group {group}"),
        needs: Needs::Archive,
        is_present: Box::new(move || shelf::is_whole(&folder(cache, group, versions))),
        install: Box::new(move || install(cache, group, versions, check)),
    }
}

fn install(
    cache: &Path,
    group: &str,
    versions: &Versions,
    check: fn(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let packages = pins(group, versions);
    let packages = packages.with_context(|| format!("no packages of {group} in versions.toml"))?;
    let shelf = cache.join("packages");
    let _only_one = shelf::lock(&shelf)?;
    let place = folder(cache, group, versions);
    if shelf::is_whole(&place) {
        // Somebody else has brought it while we waited.
        return Ok(());
    }
    let staging = shelf.join(format!("{group}.part"));
    remove(&staging)?;
    fetch(cache, group, versions, packages, &staging)?;
    check(&staging).with_context(|| format!("try what {} holds", staging.display()))?;
    shelf::put(&staging, &place)
}

/// What comes from another suite runs with the libraries of this one: only the packages that are named.
fn fetch(
    cache: &Path,
    group: &str,
    versions: &Versions,
    packages: &BTreeMap<String, String>,
    staging: &Path,
) -> anyhow::Result<()> {
    let is_suite = versions.suite.contains_key(group);
    let archive = if is_suite {
        Archive::of_suite(group, &cache.join("apt").join(group))?
    } else {
        Archive::of_machine()
    };
    let targets = packages.iter().map(|(name, version)| archive.pinned_or_newest(name, version));
    let targets = targets.collect::<anyhow::Result<Vec<_>>>()?;
    if is_suite {
        targets.iter().try_for_each(|target| archive.fetch_and_unpack(target, staging))
    } else {
        archive.fetch_with_dependencies(&targets, staging)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{qemu, versions};
    use super::folder;

    #[test]
    fn another_pin_is_another_folder_and_leaves_the_old_one_alone() {
        let mut versions = versions::pinned().unwrap();
        let cache = Path::new("/c");
        for group in ["kube", "guest", qemu::SUITE] {
            let before = folder(cache, group, &versions);
            let named = versions.packages.get_mut(group);
            let pins = named.or_else(|| versions.suite.get_mut(group));
            pins.unwrap().insert("another".to_owned(), "1".to_owned());
            assert_ne!(folder(cache, group, &versions), before, "{group}");
        }
    }
}
