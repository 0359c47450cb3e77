//! Where a runtime has the cgroups of pods and containers, from the names it uses for them. Pure. Both drivers: `cgroupfs` names paths,
//! `systemd` names slices and scopes (systemd.slice(5): a dash in a slice's name is a level).

use model::qos::CgroupPath;

/// The pod's cgroup below the mount, from the sandbox's `cgroup_parent`. `None` where nothing usable is said.
pub fn of_pod(cgroup_parent: &str) -> Option<String> {
    let name = cgroup_parent.rsplit('/').next().unwrap_or_default();
    match name.strip_suffix(".slice") {
        Some(stem) => of_slice(stem),
        None => absolute(cgroup_parent),
    }
}

/// A container's, from its `cgroups_path`: a path, or `SLICE:PREFIX:ID`.
pub fn of_container(cgroups_path: &str) -> Option<String> {
    let mut parts = cgroups_path.split(':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(slice), Some(prefix), Some(id), None) if !id.is_empty() => {
            let parent = of_pod(slice)?;
            // What is no slice already is put there as it is.
            let scope = if prefix.is_empty() {
                format!("{id}.scope")
            } else {
                format!("{prefix}-{id}.scope")
            };
            Some(format!("{parent}/{scope}"))
        }
        (Some(path), None, None, None) => absolute(path),
        _ => None,
    }
}

/// The id of the container whose cgroup this is.
pub fn container_id(cgroup: &CgroupPath) -> Option<&str> {
    let last = cgroup.as_str().rsplit('/').next()?;
    let id = match last.strip_suffix(".scope") {
        Some(scope) => scope.rsplit('-').next()?,
        None => last,
    };
    // Ids are 64 hex digits in containerd and CRI-O; nothing else is taken for one.
    (id.len() >= 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// The path as the agent knows it, below the managed cgroup; `None` outside of it.
pub fn below(managed: &str, path: &str) -> Option<CgroupPath> {
    let managed = managed.trim_end_matches('/');
    let rest = path.strip_prefix(managed)?;
    (rest.starts_with('/') && rest.len() > 1).then(|| CgroupPath::new(rest))
}

/// `a-b-c` -> `/a.slice/a-b.slice/a-b-c.slice`. An empty part between dashes is no name.
fn of_slice(stem: &str) -> Option<String> {
    let mut path = String::new();
    let mut name = String::new();
    for part in stem.split('-') {
        if part.is_empty() {
            return None;
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(part);
        path = format!("{path}/{name}.slice");
    }
    Some(path)
}

/// A path without ways up.
fn absolute(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    (path.starts_with('/') && path.split('/').skip(1).all(is_plain)).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use model::qos::CgroupPath;

    use super::{below, container_id, of_container, of_pod};

    const ID: &str = "3f1c8a52f0f3a1b2c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b";

    #[test]
    fn pods_of_both_drivers() {
        let rows = [
            ("/kubepods/pod7", Some("/kubepods/pod7")),
            ("/kubepods/burstable/pod7-8", Some("/kubepods/burstable/pod7-8")),
            (
                "kubepods-besteffort-pod7_8.slice",
                Some("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod7_8.slice"),
            ),
            ("/kubepods.slice/kubepods-pod7.slice", Some("/kubepods.slice/kubepods-pod7.slice")),
            (
                "kubelet-kubepods-pod7.slice",
                Some("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod7.slice"),
            ),
            ("", None),
            ("kubepods/pod7", None),
            ("/kubepods/../pod7", None),
            ("/kubepods//pod7", None),
            ("a--b.slice", None),
            ("-.slice", None),
        ];
        for (parent, expect) in rows {
            assert_eq!(of_pod(parent).as_deref(), expect, "{parent:?}");
        }
    }

    #[test]
    fn containers_of_both_drivers() {
        let rows = [
            ("/kubepods/pod7/c1".to_owned(), Some("/kubepods/pod7/c1")),
            (
                "kubepods-pod7.slice:cri-containerd:c1".to_owned(),
                Some("/kubepods.slice/kubepods-pod7.slice/cri-containerd-c1.scope"),
            ),
            (
                "kubepods-pod7.slice:crio:c1".to_owned(),
                Some("/kubepods.slice/kubepods-pod7.slice/crio-c1.scope"),
            ),
            ("kubepods-pod7.slice:crio:".to_owned(), None),
            ("kubepods-pod7.slice:crio".to_owned(), None),
            ("a:b:c:d".to_owned(), None),
            (String::new(), None),
        ];
        for (path, expect) in rows {
            assert_eq!(of_container(&path).as_deref(), expect, "{path:?}");
        }
    }

    #[test]
    fn ids_come_from_paths() {
        let rows = [
            (format!("/burstable/pod7/{ID}"), Some(ID)),
            (format!("/kubepods-pod7.slice/cri-containerd-{ID}.scope"), Some(ID)),
            ("/burstable/pod7".to_owned(), None),
            ("/".to_owned(), None),
            (format!("/x/{}", "g".repeat(64)), None),
        ];
        for (path, expect) in rows {
            assert_eq!(container_id(&CgroupPath::new(path.clone())), expect, "{path}");
        }
    }

    #[test]
    fn paths_below_the_managed_cgroup() {
        let rows = [
            ("/kubepods", "/kubepods/pod7", Some("/pod7")),
            ("/", "/kubepods/pod7", Some("/kubepods/pod7")),
            ("/kubepods", "/kubepods", None),
            ("/kubepods", "/kubepods2/pod7", None),
            ("/kubepods", "/system.slice/x", None),
        ];
        for (managed, path, expect) in rows {
            assert_eq!(below(managed, path), expect.map(CgroupPath::from), "{managed} {path}");
        }
    }
}
