//! `CgroupTree`: the managed root, from which cgroups are opened by their path below it. Makes and
//! removes no groups: those belong to the runtime or to systemd.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::qos::CgroupPath;

use crate::cgroup::dir::Cgroup;
use crate::cgroup::layout::{Layout, detect_layout};
use crate::error::ReadError;
use crate::root::HostRoot;

/// The subtree that Berth looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupTree {
    dir: PathBuf,
    proc: Option<Arc<Path>>,
}

/// The host has no cgroup v2 that could be managed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("{layout}")]
    NotV2 { layout: Layout },
    #[error("the managed root {path:?} is not a path below the cgroup mount")]
    BadPath { path: String },
    #[error("the host's mounts could not be read")]
    Mounts(#[source] ReadError),
}

impl CgroupTree {
    /// The tree below `managed` (`/` is the whole mount) of a host with cgroup v2.
    pub fn open(host: &HostRoot, managed: &CgroupPath) -> Result<CgroupTree, TreeError> {
        match detect_layout(host).map_err(TreeError::Mounts)? {
            Layout::V2 { mount } => {
                let below = below(managed)
                    .ok_or_else(|| TreeError::BadPath { path: managed.to_string() })?;
                Ok(CgroupTree::at(mount.join(below)).with_proc(host.proc()))
            }
            layout => Err(TreeError::NotV2 { layout }),
        }
    }

    /// A tree at a known directory, without asking the mount table.
    pub fn at(dir: impl Into<PathBuf>) -> CgroupTree {
        CgroupTree { dir: dir.into(), proc: None }
    }

    /// Where the processes of its groups are; without it `oom_score_adj` is unsupported.
    #[must_use]
    pub fn with_proc(self, proc: impl AsRef<Path>) -> CgroupTree {
        CgroupTree { proc: Some(Arc::from(proc.as_ref())), ..self }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens one cgroup; `/` is the managed root itself.
    pub fn cgroup(&self, path: &CgroupPath) -> Result<Cgroup, ReadError> {
        let below = below(path).ok_or_else(|| ReadError::Malformed {
            path: self.dir.clone(),
            value: path.to_string(),
            expected: "a path with a leading slash and no `..`",
        })?;
        let dir = if below.is_empty() { self.dir.clone() } else { self.dir.join(below) };
        Cgroup::open_dir(dir, path.clone(), self.proc.clone())
    }
}

/// The path without its leading slash; `None` when it could leave the tree.
fn below(path: &CgroupPath) -> Option<&str> {
    let below = path.as_str().strip_prefix('/')?;
    let inside = below.is_empty()
        || below.split('/').all(|name| !matches!(name, "" | "." | "..") && !name.contains('\0'));
    inside.then_some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_tree() {
        let rows = [
            ("/", Some("")),
            ("/a", Some("a")),
            ("/a/b.slice", Some("a/b.slice")),
            ("a", None),
            ("", None),
            ("//etc", None),
            ("/a/../..", None),
            ("/a/./b", None),
            ("/a/", None),
        ];
        for (path, expected) in rows {
            assert_eq!(below(&CgroupPath::from(path)), expected, "{path:?}");
        }
    }
}
