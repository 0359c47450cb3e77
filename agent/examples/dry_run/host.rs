//! A host root for the agent: links to this machine's own `/proc` and `/sys`, and cgroups that are
//! folders of plain files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result};

/// What the collector reads below `/proc`; the mount table is made up.
const PROC: [&str; 5] = ["stat", "meminfo", "pressure", "self", "sys"];

/// The files of one cgroup, as a kernel shows them for a group that nobody has set up.
const FILES: [(&str, &str); 9] = [
    ("cgroup.procs", ""),
    ("cgroup.events", "populated 1\nfrozen 0\n"),
    ("cpu.idle", "0\n"),
    ("cpu.weight", "100\n"),
    ("cpu.max", "max 100000\n"),
    ("cpu.stat", "usage_usec 0\nuser_usec 0\nsystem_usec 0\n"),
    ("cpuset.cpus", "\n"),
    ("cpuset.cpus.effective", "0\n"),
    ("memory.current", "4096\n"),
];

/// Makes the root with `/pods/api` and so many `/pods/batch-N`.
pub(crate) fn make(root: &Path, n_batch_pods: usize) -> Result<()> {
    let cgroups = root.join("sys/fs/cgroup");
    fs::create_dir_all(&cgroups)?;
    fs::create_dir_all(root.join("proc"))?;
    for name in PROC {
        symlink(Path::new("/proc").join(name), root.join("proc").join(name))?;
    }
    let mounts = format!("cgroup2 {} cgroup2 rw 0 0\n", cgroups.display());
    fs::write(root.join("proc/mounts"), mounts)?;
    for name in ["devices", "kernel"] {
        symlink(Path::new("/sys").join(name), root.join("sys").join(name))?;
    }
    let pods = (0..n_batch_pods).map(|pod| format!("pods/batch-{pod}"));
    for path in ["".to_owned(), "pods".to_owned(), "pods/api".to_owned()].into_iter().chain(pods) {
        cgroup(&cgroups.join(path))?;
    }
    Ok(())
}

fn cgroup(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    for (name, text) in FILES {
        fs::write(folder.join(name), text)
            .with_context(|| format!("write {name} in {}", folder.display()))?;
    }
    Ok(())
}
