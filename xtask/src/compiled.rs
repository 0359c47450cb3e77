//! What cargo has compiled of other people's crates, kept for the next checkout: a fresh one would compile the same 700 units again, which
//! is half of its first build. Owns what is kept and how it comes back; whether a unit fits is decided by cargo, which compares its
//! fingerprint and compiles it where it does not. Nothing of the workspace itself is kept.
//!
//! Kept is what one build consisted of, in a folder of the cache for each profile and named after what decides about all of it: the lock
//! file, the workspace's manifest (profiles), the compiler and its flags. Another lock file takes its place.

mod units;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use crate::place;
use crate::setup::{shelf, shell};
use units::{Unit, Units};

/// Runs a cargo that builds into `profile`'s folder of the build output, beginning with what is kept. Answers cargo's messages.
pub(crate) fn run(cargo: &mut Command, profile: &str) -> anyhow::Result<String> {
    let kept = Kept::of(profile)?;
    match kept.bring(SystemTime::now()) {
        Ok(0) => {}
        Ok(n) => println!("{n} units of dependencies were compiled for an earlier checkout"),
        // It is only slower.
        Err(error) => println!("compiled dependencies are not taken from the cache: {error:#}"),
    }
    let messages = crate::cargo::messages(cargo)?;
    if let Err(error) = kept.keep(&units::of(&messages)) {
        println!("compiled dependencies are not kept: {error:#}");
    }
    Ok(messages)
}

/// As cargo lays a profile's folder out: what it knows of each unit, build scripts with what they made, and the files of all units.
const FINGERPRINTS: &str = ".fingerprint";
const BUILD: &str = "build";
const DEPS: &str = "deps";

/// The place in the cache, and the one in the build output.
struct Kept {
    shelf: PathBuf,
    name: String,
    output: PathBuf,
}

impl Kept {
    fn of(profile: &str) -> anyhow::Result<Kept> {
        let name = format!("{profile}-{}", fingerprint(place::repo())?);
        let shelf = place::cache()?.join("compiled");
        Ok(Kept { shelf, name, output: place::target().join(profile) })
    }

    fn place(&self) -> PathBuf {
        self.shelf.join(&self.name)
    }

    /// Copies each unit that is not there. All of a build get one time, `now`: cargo takes a unit for old that is older than one that it
    /// needs, and what was compiled here before is older.
    fn bring(&self, now: SystemTime) -> anyhow::Result<usize> {
        let place = self.place();
        if !place.exists() {
            return Ok(0);
        }
        let _lock = shelf::lock(&self.shelf)?;
        let units = self.kept()?;
        let is_missing = |unit: &&Unit| !self.output.join(FINGERPRINTS).join(&unit.folder).exists();
        let missing: Vec<&Unit> = units.iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(0);
        }
        // Reads all that is kept.
        ensure!(shelf::is_whole(&place), "{} is damaged", place.display());
        copy_units(&place, &self.output, missing.iter().copied(), Some(now))?;
        Ok(missing.len())
    }

    fn kept(&self) -> anyhow::Result<Vec<Unit>> {
        let folders = names(&self.place().join(FINGERPRINTS))?;
        Ok(folders.iter().filter_map(|name| Unit::of_folder(name)).collect())
    }

    /// Keeps `units` instead of what was kept, where that lacks one of them or cargo has found one of no use.
    fn keep(&self, units: &Units) -> anyhow::Result<()> {
        let _lock = shelf::lock(&self.shelf)?;
        let place = self.place();
        let is_kept = |unit: &Unit| place.join(FINGERPRINTS).join(&unit.folder).exists();
        if !units.has_new && units.all.iter().all(is_kept) {
            return Ok(());
        }
        let staging = self.shelf.join(format!("{}.part", self.name));
        shelf::remove(&staging)?;
        copy_units(&self.output, &staging, &units.all, None)?;
        shelf::put(&staging, &place)?;
        self.forget_others()
    }

    /// What was kept of the profile for other lock files.
    fn forget_others(&self) -> anyhow::Result<()> {
        let profile = |name: &str| name.rsplit_once('-').map(|(profile, _)| profile.to_owned());
        for other in names(&self.shelf)? {
            if other != self.name && profile(&other) == profile(&self.name) {
                shelf::remove(&self.shelf.join(other))?;
            }
        }
        Ok(())
    }
}

/// What makes every unit another one.
fn fingerprint(repo: &Path) -> anyhow::Result<String> {
    let mut sum = Sha256::new();
    for name in ["Cargo.lock", "Cargo.toml"] {
        let path = repo.join(name);
        sum.update(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
    }
    sum.update(shell::output(Command::new("rustc").current_dir(repo).arg("-vV"))?);
    sum.update(env::var_os("RUSTFLAGS").unwrap_or_default().as_encoded_bytes());
    Ok(sum.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// The names in a folder; none where there is no folder.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Of each unit the fingerprint last, so that half a unit is none.
fn copy_units<'a>(
    from: &Path,
    to: &Path,
    units: impl IntoIterator<Item = &'a Unit>,
    modified: Option<SystemTime>,
) -> anyhow::Result<()> {
    let files = units::by_hash(names(&from.join(DEPS))?);
    for unit in units {
        for name in files.get(&unit.hash).into_iter().flatten() {
            copy(&from.join(DEPS).join(name), &to.join(DEPS).join(name), modified)?;
        }
        for folder in [BUILD, FINGERPRINTS] {
            let within = Path::new(folder).join(&unit.folder);
            if from.join(&within).exists() {
                copy_folder(&from.join(&within), &to.join(&within), modified)?;
            }
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path, modified: Option<SystemTime>) -> anyhow::Result<()> {
    for name in names(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy_folder(&from, &to, modified)?;
        } else {
            copy(&from, &to, modified)?;
        }
    }
    // A build script that made nothing has an empty folder to make it in.
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))
}

fn copy(from: &Path, to: &Path, modified: Option<SystemTime>) -> anyhow::Result<()> {
    let within = || format!("copy {} to {}", from.display(), to.display());
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(within)?;
    }
    fs::copy(from, to).with_context(within)?;
    if let Some(modified) = modified {
        let file = File::options().write(true).open(to).with_context(within)?;
        file.set_modified(modified).with_context(within)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
