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
    /// `cpu.idle` is set on every pod.
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
        idle: !pods.is_empty() && pods.iter().all(|pod| read(pod, "cpu.idle").trim() == "1"),
    }
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

    #[test]
    fn no_quota_is_the_whole_node() {
        assert_eq!(quota_cpus("max 100000\n", 2.0), 2.0);
        assert_eq!(quota_cpus("50000 100000\n", 2.0), 0.5);
        assert_eq!(quota_cpus("", 2.0), 2.0);
        assert_eq!(quota_cpus("5 0", 2.0), 2.0);
    }
}
