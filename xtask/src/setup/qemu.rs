//! The QEMU of guests with a clock of their own, out of Debian's backports. Guests that follow the host's clock run in the
//! installed one.

use std::path::Path;
use std::process::Command;

use super::step::Step;
use super::versions::Versions;
use super::{packages, shell};

/// The suite of `versions.toml` that it is taken from.
pub(super) const SUITE: &str = "bookworm-backports";

/// The program, with the folders it looks for firmware in.
pub(crate) fn command(cache: &Path, versions: &Versions) -> Command {
    command_in(&packages::folder(cache, SUITE, versions))
}

pub(super) fn step<'a>(cache: &'a Path, versions: &'a Versions) -> Step<'a> {
    // It finds the libraries of the installed one, or says which it lacks.
    let check = |root: &Path| shell::quiet(command_in(root).arg("--version"));
    packages::checked_step(cache, SUITE, versions, check)
}

fn command_in(root: &Path) -> Command {
    let share = root.join("usr/share");
    let mut qemu = Command::new(root.join("usr/bin/qemu-system-x86_64"));
    qemu.arg("-L").arg(share.join("qemu")).arg("-L").arg(share.join("seabios"));
    qemu
}
