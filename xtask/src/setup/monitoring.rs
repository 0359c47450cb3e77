//! promtool, which tests the alerts. Of Debian's package it is one of two programs of 48 MB each; the other, a server, is left out.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::step::Step;
use super::versions::Versions;
use super::{packages, shell};

/// In `versions.toml`.
pub(crate) const GROUP: &str = "monitoring";

pub(super) fn step<'a>(cache: &'a Path, versions: &'a Versions) -> Step<'a> {
    packages::checked_step(cache, GROUP, versions, |root| {
        let server = root.join("usr/bin/prometheus");
        fs::remove_file(&server).with_context(|| format!("remove {}", server.display()))?;
        shell::quiet(Command::new(root.join("usr/bin/promtool")).arg("--version"))
    })
}
