//! The QEMU of guests with a clock of their own: `qemu/` below the cache, out of Debian's backports.
//! Guests that follow the host's clock run in the installed one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::debs::Archive;
use super::kernel::remove;
use super::packages::stamp;
use super::shell;
use super::versions::Versions;

/// The suite of `versions.toml` that it is taken from.
pub(super) const SUITE: &str = "bookworm-backports";

/// The program, with the folders it looks for firmware in.
pub(crate) fn command(cache: &Path) -> Command {
    let share = folder(cache).join("usr/share");
    let mut qemu = Command::new(folder(cache).join("usr/bin/qemu-system-x86_64"));
    qemu.arg("-L").arg(share.join("qemu")).arg("-L").arg(share.join("seabios"));
    qemu
}

pub(super) fn is_present(cache: &Path, versions: &Versions) -> bool {
    fs::read_to_string(folder(cache).join("packages")).ok() == versions.suite.get(SUITE).map(stamp)
}

pub(super) fn install(cache: &Path, versions: &Versions) -> anyhow::Result<()> {
    let packages = versions.suite.get(SUITE).context("versions.toml names no QEMU")?;
    let place = folder(cache);
    remove(&place)?;
    let archive = Archive::of_suite(SUITE, &cache.join("apt").join(SUITE))?;
    for (package, version) in packages {
        archive.fetch_and_unpack(&archive.pinned_or_newest(package, version)?, &place)?;
    }
    shell::quiet(command(cache).arg("--version"))?;
    fs::write(place.join("packages"), stamp(packages)).context("write QEMU's stamp")
}

fn folder(cache: &Path) -> PathBuf {
    cache.join("qemu")
}
