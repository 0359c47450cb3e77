//! `kubectl berth` on the playground: kubectl looks for its plugin on PATH, and the plugin for kubectl.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::place;

/// Where the plugin lies.
fn home() -> PathBuf {
    place::repo().join("deploy/kubectl-berth")
}

/// The PATH for a kubectl that is the program `kube` of the bench: `folder` gets a file of its usual name.
pub(super) fn path(folder: &Path, kube: &Path) -> anyhow::Result<OsString> {
    let programs = folder.join("bin");
    let kubectl = programs.join("kubectl");
    let quoted = kube.to_str().and_then(|kube| shlex::try_quote(kube).ok());
    let quoted = quoted.with_context(|| format!("{} cannot be quoted", kube.display()))?;
    let text = format!("#!/bin/sh\nexec {quoted} kubectl \"$@\"\n");
    if !fs::read(&kubectl).is_ok_and(|found| found == text.as_bytes()) {
        fs::create_dir_all(&programs).with_context(|| format!("create {}", programs.display()))?;
        fs::write(&kubectl, text).with_context(|| format!("write {}", kubectl.display()))?;
        fs::set_permissions(&kubectl, Permissions::from_mode(0o755))
            .with_context(|| format!("let {} be run", kubectl.display()))?;
    }
    let own = env::var_os("PATH").unwrap_or_default();
    let all = [programs, home()].into_iter().chain(env::split_paths(&own));
    env::join_paths(all).context("a folder's name contains `:`")
}

#[cfg(test)]
mod tests;
