//! Where things are: the repository, its build output and the cache of what set-up brought. Knows
//! paths only; what lies there is made by `setup`, `ebpf` and cargo.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The root of the repository this xtask was built from.
pub(crate) fn repo() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("invariant: xtask is a folder of the repository")
}

/// Cargo's output folder for the workspace.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo().join("target"), |dir| repo().join(dir))
}

/// `${XDG_CACHE_HOME:-~/.cache}/berth`: downloads and tools, shared by all clones of the repository. A relative XDG_CACHE_HOME
/// does not count (XDG Base Directory Specification).
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|dir| Path::new(dir).is_absolute()) {
        Some(dir) => PathBuf::from(dir),
        None => {
            PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
                .join(".cache")
        }
    };
    Ok(base.join("berth"))
}
