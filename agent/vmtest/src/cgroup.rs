//! A cgroup for one test: made fresh, killed and removed with the guard. Reads and writes whole files;
//! what the bytes mean is the test's business.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::guest::guest;
use crate::wait::wait_until;

/// Where the guest mounts cgroup v2.
pub const ROOT: &str = "/sys/fs/cgroup";

/// As long as a killed process may take, see `process`.
const REMOVAL_LIMIT: Duration = Duration::from_secs(30);

/// `/sys/fs/cgroup/t-NAME` or a child of one. Everything in it dies when the guard is dropped.
#[derive(Debug)]
pub struct TestCgroup {
    path: PathBuf,
}

impl TestCgroup {
    /// A cgroup directly below the root, where every controller is on.
    ///
    /// # Panics
    /// Outside the guest, and when the kernel refuses.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        guest();
        Self::make(Path::new(ROOT).join(format!("t-{name}")))
    }

    /// A cgroup below this one; controllers must have been passed on with [`TestCgroup::pass_on`].
    #[track_caller]
    pub fn child(&self, name: &str) -> Self {
        Self::make(self.path.join(name))
    }

    #[track_caller]
    fn make(path: PathBuf) -> Self {
        // Left by a test that died before its guard ran.
        remove_tree(&path);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("create {}: {error}", path.display()));
        Self { path }
    }

    /// Turns controllers on for the children.
    #[track_caller]
    pub fn pass_on(&self, controllers: &[&str]) {
        for controller in controllers {
            self.write("cgroup.subtree_control", &format!("+{controller}"));
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path below the cgroup root, as `/proc/PID/cgroup` and the agent's config name it.
    pub fn name(&self) -> &Path {
        self.path.strip_prefix(ROOT).unwrap_or(&self.path)
    }

    #[track_caller]
    pub fn read(&self, file: &str) -> String {
        let path = self.path.join(file);
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        text.trim_end().to_owned()
    }

    /// The number behind `key` in a flat keyed file such as cpu.stat.
    #[track_caller]
    pub fn read_key(&self, file: &str, key: &str) -> u64 {
        let text = self.read(file);
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        let value =
            value.unwrap_or_else(|| panic!("{}/{file} has no {key}:\n{text}", self.path.display()));
        value.parse().unwrap_or_else(|error| {
            panic!("{}/{file}: {key} {value}: {error}", self.path.display())
        })
    }

    #[track_caller]
    pub fn write(&self, file: &str, value: &str) {
        self.try_write(file, value).unwrap_or_else(|error| {
            panic!("write {value:?} to {}/{file}: {error}", self.path.display())
        });
    }

    /// For tests of what the kernel refuses.
    pub fn try_write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.path.join(file), value)
    }

    /// Kills and removes it now, with everything below, as a runtime does when a pod ends.
    pub fn remove(self) {
        drop(self);
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        remove_tree(&self.path);
    }
}

/// Kills what is in a cgroup and removes it from the leaves up. Silent when it is already gone; a cgroup that stays
/// fails the test unless that is failing already.
fn remove_tree(path: &Path) {
    if !path.exists() {
        return;
    }
    // A frozen group is thawed by the kill; the write fails only where the group has just gone.
    drop(fs::write(path.join("cgroup.kill"), "1"));
    let gone = || remove_leaves_first(path) || !path.exists();
    if std::thread::panicking() {
        let _tried_once = gone();
    } else {
        wait_until(&format!("{} to empty", path.display()), REMOVAL_LIMIT, gone);
    }
}

fn remove_leaves_first(path: &Path) -> bool {
    let children =
        fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    for child in children {
        // Whether it went shows when the parent is removed.
        remove_leaves_first(&child.path());
    }
    fs::remove_dir(path).is_ok()
}
