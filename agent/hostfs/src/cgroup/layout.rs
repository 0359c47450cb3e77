//! Which cgroup version a host uses, from its mount table. Berth manages pure v2 only: on a hybrid
//! host the v1 hierarchies hold the controllers and the unified mount has none of them.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::ReadError;
use crate::file;
use crate::root::HostRoot;

/// Controllers that can be bound to a v1 hierarchy (kernel/cgroup, `include/linux/cgroup_subsys.h`).
const V1_CONTROLLERS: [&str; 14] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "blkio",
    "devices",
    "freezer",
    "pids",
    "net_cls",
    "net_prio",
    "perf_event",
    "hugetlb",
    "rdma",
    "misc",
];

/// How the host mounts cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All controllers are in the unified hierarchy.
    V2 { mount: PathBuf },
    /// cgroup v2 is mounted, but v1 hierarchies hold these controllers.
    Hybrid { unified: PathBuf, v1_controllers: Vec<String> },
    /// Only cgroup v1.
    V1 { v1_controllers: Vec<String> },
    /// No cgroup mount at all.
    Absent,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layout::V2 { mount } => write!(f, "cgroup v2 at {}", mount.display()),
            Layout::Hybrid { unified, v1_controllers } => write!(
                f,
                "hybrid host: cgroup v1 holds {}, the unified mount {} has none of them",
                v1_controllers.join(","),
                unified.display(),
            ),
            Layout::V1 { v1_controllers } => {
                write!(f, "cgroup v1 host ({})", v1_controllers.join(","))
            }
            Layout::Absent => f.write_str("no cgroup file system is mounted"),
        }
    }
}

/// Reads the mount table of the host. `<proc>/mounts` is our own mount namespace, which is where
/// `<sys>` was mounted for us.
pub fn detect_layout(host: &HostRoot) -> Result<Layout, ReadError> {
    let expected = host.cgroup();
    file::read_path(&host.proc().join("mounts"), |mounts| Ok(layout(mounts, &expected)))
}

/// What `/proc/mounts` says. A container sees its own cgroup mount beside the host's: the one at
/// `expected` wins, else the first.
pub fn layout(mounts: &str, expected: &Path) -> Layout {
    let mut unified: Option<PathBuf> = None;
    let mut v1_controllers: Vec<String> = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(_device), Some(point), Some(kind)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let point = PathBuf::from(unescaped(point));
        match kind {
            "cgroup2" if unified.is_none() || point == expected => unified = Some(point),
            "cgroup" => add_controllers(&mut v1_controllers, fields.next().unwrap_or_default()),
            _ => {}
        }
    }
    match (unified, v1_controllers.is_empty()) {
        (Some(mount), true) => Layout::V2 { mount },
        (Some(unified), false) => Layout::Hybrid { unified, v1_controllers },
        (None, false) => Layout::V1 { v1_controllers },
        (None, true) => Layout::Absent,
    }
}

fn add_controllers(found: &mut Vec<String>, options: &str) {
    for option in options.split(',').filter(|option| V1_CONTROLLERS.contains(option)) {
        if !found.iter().any(|known| known == option) {
            found.push(option.to_owned());
        }
    }
}

/// The kernel writes space, tab, newline and backslash in mount points as three octal digits.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|code| u8::from_str_radix(code, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                plain.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(mounts: &str, expected: &str) {
        assert_eq!(layout(mounts, Path::new("/sys/fs/cgroup")).to_string(), expected, "{mounts}");
    }

    #[test]
    fn hosts_are_told_apart() {
        check("", "no cgroup file system is mounted");
        check("proc /proc proc rw 0 0\n", "no cgroup file system is mounted");
        check(
            "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\n",
            "cgroup v2 at /sys/fs/cgroup",
        );
        check(
            "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
             cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
             cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n\
             cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
            "hybrid host: cgroup v1 holds cpu,cpuacct, the unified mount /sys/fs/cgroup/unified \
             has none of them",
        );
        check("cgroup /cg/memory cgroup rw,memory 0 0\n", "cgroup v1 host (memory)");
        check("cgroup2\ncgroup2 /x\n", "no cgroup file system is mounted");
    }

    #[test]
    fn a_named_v1_hierarchy_without_controllers_takes_nothing_away() {
        check(
            "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n\
             cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
            "cgroup v2 at /sys/fs/cgroup/unified",
        );
    }

    #[test]
    fn a_container_prefers_the_hosts_mount_to_its_own() {
        let mounts = "cgroup /sys/fs/cgroup cgroup2 rw 0 0\n\
                      cgroup /host/sys/fs/cgroup cgroup2 rw 0 0\n";
        let found = layout(mounts, Path::new("/host/sys/fs/cgroup"));
        assert_eq!(found, Layout::V2 { mount: "/host/sys/fs/cgroup".into() });
    }

    #[test]
    fn mount_points_are_unescaped() {
        for (text, expected) in
            [(r"/a\040b", "/a b"), (r"/a\134b", r"/a\b"), (r"/a\9", r"/a\9"), (r"\", r"\")]
        {
            assert_eq!(unescaped(text), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in crate::parse::tests::arb_text()) {
            layout(&text, Path::new("/sys/fs/cgroup"));
            unescaped(&text);
        }
    }
}
