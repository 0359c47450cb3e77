//! Walking a cgroup tree. Holds no more descriptors than the tree is deep, keeps none, and a group
//! that goes away in the middle is a counted absence, not an error.

use std::os::fd::{AsFd, OwnedFd};

use model::CgroupId;
use model::qos::CgroupPath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::cgroup::tree::CgroupTree;
use crate::error::ReadError;

/// How far a walk may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkLimits {
    /// Levels below the root; each costs one descriptor.
    pub depth: usize,
    /// Groups that are listed.
    pub n_groups: usize,
}

impl Default for WalkLimits {
    /// Ten thousand groups were walked in well under a second; ten times that is no node.
    fn default() -> Self {
        WalkLimits { depth: 32, n_groups: 100_000 }
    }
}

/// One cgroup that was there when its parent was listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub path: CgroupPath,
    pub id: CgroupId,
}

/// What a walk found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Parents before children, siblings as the kernel lists them. The root is not among them.
    pub entries: Vec<Entry>,
    /// Groups that went away between being listed and being opened.
    pub n_vanished: usize,
    /// A limit was reached: there is more than `entries`.
    pub truncated: bool,
}

/// Lists the cgroups below the root of `tree`.
pub fn walk(tree: &CgroupTree, limits: WalkLimits) -> Result<Walk, ReadError> {
    let root = tree.cgroup(&CgroupPath::from("/"))?;
    let failed = |errno| ReadError::refused(root.shown().to_path_buf(), errno);
    let dir = root.open_directory().map_err(failed)?;
    let mut state = Walker { limits, found: Walk::default(), path: String::new() };
    state.descend(&dir, 0).map_err(failed)?;
    Ok(state.found)
}

struct Walker {
    limits: WalkLimits,
    found: Walk,
    path: String,
}

impl Walker {
    fn descend(&mut self, dir: &OwnedFd, depth: usize) -> Result<(), Errno> {
        let children = match list(dir) {
            Err(Errno::NOENT | Errno::NODEV) => {
                self.found.n_vanished += 1;
                return Ok(());
            }
            other => other?,
        };
        if depth >= self.limits.depth {
            self.found.truncated |= !children.is_empty();
            return Ok(());
        }
        for (name, id) in children {
            if self.found.entries.len() >= self.limits.n_groups {
                self.found.truncated = true;
                return Ok(());
            }
            self.visit(dir, &name, id, depth)?;
        }
        Ok(())
    }

    fn visit(&mut self, dir: &OwnedFd, name: &str, id: u64, depth: usize) -> Result<(), Errno> {
        let child = match open_unless_leaf(dir, name) {
            Err(Errno::NOENT | Errno::NODEV) => {
                self.found.n_vanished += 1;
                return Ok(());
            }
            other => other?,
        };
        let parent_len = self.path.len();
        self.path.push('/');
        self.path.push_str(name);
        let path = CgroupPath::from(self.path.as_str());
        self.found.entries.push(Entry { path, id: CgroupId(id) });
        let result = child.map_or(Ok(()), |child| self.descend(&child, depth + 1));
        self.path.truncate(parent_len);
        result
    }
}

/// `None` for a group without children. Most are, and the count of links tells it (its name, its
/// `.`, and a `..` per child: fs/kernfs/inode.c, `kernfs_refresh_inode`) for a tenth of what
/// opening and listing its 70 files costs. File systems that do not count say 1.
fn open_unless_leaf(dir: &OwnedFd, name: &str) -> Result<Option<OwnedFd>, Errno> {
    if rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_nlink == 2 {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).map(Some)
}

/// Names and inode numbers of the directories in `dir`. Names that are not UTF-8 are left out: no
/// path of the agent could mean them.
fn list(dir: impl AsFd) -> Result<Vec<(String, u64)>, Errno> {
    // A cgroup directory with all controllers has about 70 files: two pages hold them.
    let mut buffer = Vec::with_capacity(8192);
    let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or(".");
        if entry.file_type() == FileType::Directory && !matches!(name, "." | "..") {
            found.push((name.to_owned(), entry.ino()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> (tempfile::TempDir, CgroupTree) {
        let dir = tempfile::tempdir().expect("temp dir");
        for path in paths {
            std::fs::create_dir_all(dir.path().join(path)).expect("make group");
        }
        std::fs::write(dir.path().join("cgroup.procs"), "").expect("a file that is no group");
        let tree = CgroupTree::at(dir.path());
        (dir, tree)
    }

    fn paths(walk: &Walk) -> Vec<&str> {
        let mut paths: Vec<&str> = walk.entries.iter().map(|entry| entry.path.as_str()).collect();
        paths.sort_unstable();
        paths
    }

    #[test]
    fn every_group_is_listed_with_its_inode() {
        let (_dir, tree) = tree(&["a/b/c", "a/d", "e"]);
        let walk = walk(&tree, WalkLimits::default()).expect("walk");
        assert_eq!(paths(&walk), ["/a", "/a/b", "/a/b/c", "/a/d", "/e"]);
        assert!(!walk.truncated);
        for entry in &walk.entries {
            assert_eq!(tree.cgroup(&entry.path).expect("open").id(), entry.id, "{}", entry.path);
        }
    }

    #[test]
    fn limits_are_kept_and_told() {
        let (_dir, tree) = tree(&["a/b/c", "e"]);
        let shallow = walk(&tree, WalkLimits { depth: 1, n_groups: 10 }).expect("walk");
        assert_eq!(paths(&shallow), ["/a", "/e"]);
        assert!(shallow.truncated);
        let few = walk(&tree, WalkLimits { depth: 9, n_groups: 2 }).expect("walk");
        assert_eq!((few.entries.len(), few.truncated), (2, true));
        let exact = walk(&tree, WalkLimits { depth: 3, n_groups: 4 }).expect("walk");
        assert!(!exact.truncated);
    }

    #[test]
    fn an_absent_root_is_absent() {
        let gone = CgroupTree::at("/nonexistent/cgroup");
        assert!(walk(&gone, WalkLimits::default()).expect_err("no root").is_absent());
    }

    /// A fifth of the ten thousand per second that are promised; the real ten thousand are in the
    /// VM tier, because making the folders takes a hundred times longer than the walk.
    #[test]
    fn two_thousand_groups_take_under_a_fifth_of_a_second() {
        let (dir, tree) = tree(&[]);
        for pod in 0..200 {
            for container in 0..9 {
                let path = dir.path().join(format!("pod{pod}/{container}"));
                std::fs::create_dir_all(path).expect("make group");
            }
        }
        // Processor time: other tests share the machine.
        let cpu_time = || {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            std::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
        };
        let began = cpu_time();
        let walk = walk(&tree, WalkLimits::default()).expect("walk");
        let took = cpu_time() - began;
        assert_eq!(walk.entries.len(), 2000);
        assert!(took.as_millis() < 200, "2000 groups took {took:?}");
    }
}
