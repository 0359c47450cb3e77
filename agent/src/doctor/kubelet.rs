//! What the kubelet's configuration means beside the agent: one row with what it told, and one for each of its ways that a person should know
//! of. A kubelet that does not tell is as good as others.

use cluster::configz::{ConfigHeard, KubeletConfig};
use hostfs::CgroupTree;

use super::check;
use crate::kubernetes::{driver_of, place_of};
use crate::serve::{Check, CheckStatus};

/// `all` is the tree of all cgroups, where there is one.
pub(super) fn checks(heard: &ConfigHeard, all: Option<&CgroupTree>, managed: &str) -> Vec<Check> {
    let mut checks = vec![told(heard)];
    if let Some(config) = &heard.config {
        checks.extend(cpu_manager(config));
        checks.extend(topology_manager(config));
        checks.extend(all.and_then(|all| cgroup_driver(config, all, managed)));
    }
    checks
}

fn told(heard: &ConfigHeard) -> Check {
    let detail = match (&heard.config, &heard.fault) {
        (None, None) => "not told yet".to_owned(),
        (None, Some(fault)) => format!("not told: {fault}"),
        (Some(config), None) => words(config),
        (Some(config), Some(fault)) => {
            format!("{}; that was its last word: {fault}", words(config))
        }
    };
    check("kubelet", true, CheckStatus::Ok, detail, "")
}

fn words(config: &KubeletConfig) -> String {
    let parts = [
        ("CPU manager", &config.cpu_manager),
        ("topology manager", &config.topology_manager),
        ("memory manager", &config.memory_manager),
        ("cgroup driver", &config.cgroup_driver),
    ];
    let mut words: Vec<String> = parts
        .iter()
        .map(|(part, policy)| format!("{part} {}", policy.as_deref().unwrap_or("unknown")))
        .collect();
    words.push(match &config.reserved_cpus {
        Some(cpus) => format!("keeps CPUs {cpus} for the system"),
        None => "keeps no listed CPUs for the system".to_owned(),
    });
    words.join(", ")
}

fn cpu_manager(config: &KubeletConfig) -> Option<Check> {
    let is_static = config.cpu_manager.as_deref() == Some("static");
    let detail = "static: the kubelet itself gives whole CPUs to Guaranteed pods; they keep those, whatever their annotations \
                  wish, and all others make room";
    let fix = "cpuManagerPolicy: none where those pods should be placed by their annotations too";
    is_static.then(|| check("CPU manager", false, CheckStatus::Warn, detail, fix))
}

fn topology_manager(config: &KubeletConfig) -> Option<Check> {
    let policy = config.topology_manager.as_deref().filter(|policy| *policy != "none")?;
    let refuses = match policy {
        "restricted" | "single-numa-node" => ", and may refuse a pod for which there is a place",
        _ => "",
    };
    let detail = format!(
        "{policy}: the kubelet aligns devices with what its own managers give, and does not know on which NUMA nodes a pod is placed \
         here{refuses}"
    );
    let fix = "topologyManagerPolicy: none, or no numa_binding for pods with devices";
    Some(check("topology manager", false, CheckStatus::Warn, detail, fix))
}

/// A driver that was changed leaves the tree of the one before until the next boot.
fn cgroup_driver(config: &KubeletConfig, all: &CgroupTree, managed: &str) -> Option<Check> {
    let told = config.cgroup_driver.as_deref()?;
    let found = driver_of(managed);
    let other = place_of(told, all).filter(|_| told != found)?;
    let detail = format!(
        "the kubelet's is {told}, with pods below {other}; managed is {managed}, {found}'s"
    );
    let fix = format!(
        "host.managed_cgroup = \"{other}\", or a boot without the tree of the driver before"
    );
    Some(check("cgroup driver", false, CheckStatus::Warn, detail, &fix))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn config(spoil: impl FnOnce(&mut KubeletConfig)) -> ConfigHeard {
        let mut config = KubeletConfig {
            cpu_manager: Some("none".to_owned()),
            topology_manager: Some("none".to_owned()),
            memory_manager: Some("None".to_owned()),
            cgroup_driver: Some("systemd".to_owned()),
            reserved_cpus: None,
        };
        spoil(&mut config);
        ConfigHeard { config: Some(Arc::new(config)), fault: None }
    }

    /// Status and name of each row with how its detail begins, on a host with these cgroups.
    #[track_caller]
    fn check_rows(heard: &ConfigHeard, (managed, trees): (&str, &[&str]), expect: &[&str]) {
        let root = tempfile::tempdir().expect("a folder");
        for tree in trees {
            let folder = root.path().join(tree.trim_start_matches('/'));
            std::fs::create_dir_all(&folder).expect("a group");
            std::fs::write(folder.join("cgroup.procs"), "").expect("a file");
        }
        let rows = checks(heard, Some(&CgroupTree::at(root.path())), managed);
        assert_eq!(rows.len(), expect.len(), "{rows:#?}");
        for (row, expect) in rows.iter().zip(expect) {
            let text = format!("{:?} {}: {}", row.status, row.name, row.detail);
            assert!(text.starts_with(expect), "{text}");
            assert_eq!(row.fix.is_empty(), row.status == CheckStatus::Ok, "{text}");
        }
    }

    const SYSTEMD: (&str, &[&str]) = ("/kubepods.slice", &["/kubepods.slice"]);

    #[test]
    fn what_is_told_and_what_is_not() {
        let unknown =
            |fault: Option<&str>| ConfigHeard { config: None, fault: fault.map(str::to_owned) };
        check_rows(&unknown(None), SYSTEMD, &["Ok kubelet: not told yet"]);
        check_rows(
            &unknown(Some("it forbids it")),
            SYSTEMD,
            &["Ok kubelet: not told: it forbids it"],
        );
        let plain = "Ok kubelet: CPU manager none, topology manager none, memory manager None, cgroup driver systemd, keeps no listed CPUs";
        check_rows(&config(|_| ()), SYSTEMD, &[plain]);
        let keeping = config(|config| {
            config.reserved_cpus = Some("0-1".parse().expect("a list"));
            (config.cpu_manager, config.cgroup_driver) = (None, None);
        });
        let words = "Ok kubelet: CPU manager unknown, topology manager none, memory manager None, cgroup driver unknown, keeps CPUs 0-1 for";
        check_rows(&keeping, SYSTEMD, &[words]);
        let gone = ConfigHeard { fault: Some("it is away".to_owned()), ..config(|_| ()) };
        let rows = checks(&gone, None, "/kubepods.slice");
        assert!(rows[0].detail.ends_with("; that was its last word: it is away"), "{rows:?}");
    }

    #[test]
    fn its_ways_are_told_with_what_they_mean() {
        let managers = config(|config| config.cpu_manager = Some("static".to_owned()));
        check_rows(
            &managers,
            SYSTEMD,
            &["Ok kubelet", "Warn CPU manager: static: the kubelet itself"],
        );
        for (policy, refuses) in
            [("best-effort", false), ("restricted", true), ("of-tomorrow", false)]
        {
            let heard = config(|config| config.topology_manager = Some(policy.to_owned()));
            let row = format!("Warn topology manager: {policy}: the kubelet aligns");
            check_rows(&heard, SYSTEMD, &["Ok kubelet", &row]);
            let rows = checks(&heard, None, "/kubepods");
            assert_eq!(rows[1].detail.contains("may refuse"), refuses, "{policy}");
        }
    }

    #[test]
    fn a_tree_of_another_driver_is_told_where_both_are_there() {
        let cgroupfs = config(|config| config.cgroup_driver = Some("cgroupfs".to_owned()));
        let both = ["/kubepods", "/kubepods.slice"];
        check_rows(&cgroupfs, ("/kubepods", &both), &["Ok kubelet"]);
        // The runtime's driver goes over the configured one: the tree is right.
        check_rows(&cgroupfs, SYSTEMD, &["Ok kubelet"]);
        check_rows(
            &cgroupfs,
            ("/kubepods.slice", &both),
            &[
                "Ok kubelet",
                "Warn cgroup driver: the kubelet's is cgroupfs, with pods below /kubepods; managed is /kubepods.slice, systemd's",
            ],
        );
        let kind = ["/kubelet/kubepods", "/kubepods.slice"];
        check_rows(
            &cgroupfs,
            ("/kubepods.slice", &kind),
            &[
                "Ok kubelet",
                "Warn cgroup driver: the kubelet's is cgroupfs, with pods below /kubelet/kubepods",
            ],
        );
    }
}
