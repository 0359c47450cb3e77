//! `HostRoot`: where the host's `/sys`, `/proc`, `/etc` and cgroup tree are. In a DaemonSet they are mounted
//! somewhere else (`/host/sys`), in tests they are folders. Opens nothing.

use std::path::{Path, PathBuf};

/// The injected roots. Every host path of this crate starts at one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoot {
    sys: PathBuf,
    proc: PathBuf,
    etc: PathBuf,
    cgroup: Option<PathBuf>,
}

impl HostRoot {
    /// A host whose files are below `root`; `/` is the machine we run on.
    pub fn new(root: impl AsRef<Path>) -> HostRoot {
        let root = root.as_ref();
        let below = |folder| root.join(folder);
        HostRoot { sys: below("sys"), proc: below("proc"), etc: below("etc"), cgroup: None }
    }

    #[must_use]
    pub fn with_sys(self, sys: impl Into<PathBuf>) -> HostRoot {
        HostRoot { sys: sys.into(), ..self }
    }

    #[must_use]
    pub fn with_proc(self, proc: impl Into<PathBuf>) -> HostRoot {
        HostRoot { proc: proc.into(), ..self }
    }

    #[must_use]
    pub fn with_cgroup(self, cgroup: impl Into<PathBuf>) -> HostRoot {
        HostRoot { cgroup: Some(cgroup.into()), ..self }
    }

    pub fn sys(&self) -> &Path {
        &self.sys
    }

    pub fn proc(&self) -> &Path {
        &self.proc
    }

    pub fn etc(&self) -> &Path {
        &self.etc
    }

    /// Where the cgroup mount is expected: `<sys>/fs/cgroup` unless told otherwise.
    pub fn cgroup(&self) -> PathBuf {
        self.cgroup.clone().unwrap_or_else(|| self.sys.join("fs/cgroup"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_roots_are_found_below_the_root_unless_they_are_moved() {
        let host = HostRoot::new("/");
        assert_eq!((host.sys(), host.etc()), (Path::new("/sys"), Path::new("/etc")));
        assert_eq!(host.cgroup(), Path::new("/sys/fs/cgroup"));
        let pod = HostRoot::new("/").with_sys("/host/sys").with_proc("/host/proc");
        assert_eq!(pod.cgroup(), Path::new("/host/sys/fs/cgroup"));
        assert_eq!(pod.proc(), Path::new("/host/proc"));
        assert_eq!(pod.with_cgroup("/cg").cgroup(), Path::new("/cg"));
    }
}
