//! What batch was allowed, read from the cgroup files themselves ten times a second: the same
//! witness for every manager, Berth included.

use std::fs;
use std::path::Path;

use model::cpuset::CpuSet;
use serde::Serialize;

use crate::demo::tree::Tree;

/// One look at the limits of all batch pods.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LimitSample {
    /// After the service's start; negative during warm-up.
    pub at_ms: i64,
    /// CPUs batch may use: the smaller of its cpusets' union and its quotas' sum.
    pub batch_cpus: f64,
    /// `cpu.idle` is set on every pod or on what they lie in.
    pub idle: bool,
}

pub fn look(tree: &Tree, at_ms: i64, n_cpus: usize) -> LimitSample {
    let pods = &tree.batch_pods;
    let capacity = n_cpus as f64;
    let quota: f64 = pods.iter().map(|pod| quota_cpus(&read(pod, "cpu.max"), capacity)).sum();
    let parent = tree.batch_parent.as_deref();
    let parent_quota = parent.map_or(capacity, |dir| quota_cpus(&read(dir, "cpu.max"), capacity));
    let cpus = pods.first().map_or(n_cpus, |pod| {
        let text = read(pod, "cpuset.cpus.effective");
        text.parse::<CpuSet>().map_or(n_cpus, |cpus| cpus.len())
    });
    LimitSample {
        at_ms,
        batch_cpus: quota.min(parent_quota).min(cpus as f64).min(capacity),
        idle: parent.is_some_and(is_idle)
            || (!pods.is_empty() && pods.iter().all(|it| is_idle(it))),
    }
}

fn is_idle(dir: &Path) -> bool {
    read(dir, "cpu.idle").trim() == "1"
}

/// A file that is not there limits nothing.
fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_default()
}

fn quota_cpus(cpu_max: &str, capacity: f64) -> f64 {
    let mut words = cpu_max.split_ascii_whitespace().map(str::parse::<f64>);
    match (words.next(), words.next()) {
        (Some(Ok(quota)), Some(Ok(period))) if period > 0.0 => quota / period,
        _ => capacity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_idle(parent: Option<&str>, pods: [&str; 2], expect: bool) {
        let root = tempfile::tempdir().expect("a folder");
        let folder = |name: &str, idle: &str| {
            let dir = root.path().join(name);
            fs::create_dir(&dir).expect("a cgroup");
            fs::write(dir.join("cpu.idle"), idle).expect("its cpu.idle");
            dir
        };
        let tree = Tree {
            root: root.path().to_owned(),
            service: root.path().join("api"),
            batch_pods: vec![folder("a", pods[0]), folder("b", pods[1])],
            batch_parent: parent.map(|idle| folder("batch", idle)),
        };
        assert_eq!(look(&tree, 0, 2).idle, expect, "{parent:?} {pods:?}");
    }

    #[test]
    fn batch_is_idle_by_its_parent_or_pod_by_pod() {
        check_idle(Some("1\n"), ["0\n", "0\n"], true);
        check_idle(Some("0\n"), ["1\n", "1\n"], true);
        check_idle(None, ["1\n", "1\n"], true);
        check_idle(Some("0\n"), ["1\n", "0\n"], false);
        check_idle(None, ["0\n", "0\n"], false);
    }

    #[test]
    fn no_quota_is_the_whole_node() {
        assert_eq!(quota_cpus("max 100000\n", 2.0), 2.0);
        assert_eq!(quota_cpus("50000 100000\n", 2.0), 0.5);
        assert_eq!(quota_cpus("", 2.0), 2.0);
        assert_eq!(quota_cpus("5 0", 2.0), 2.0);
    }
}
