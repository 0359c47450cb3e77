//! `berth doctor`: every precondition of the agent's work on this host, each with the fix for the
//! case that it does not hold. Asks the host; changes nothing.

mod knobs;
mod kubelet;

use cluster::configz::ConfigHeard;
use hostfs::{HostRoot, Layout, detect_layout};
use model::plan::Plan;
use model::qos::CgroupPath;

use crate::config::Config;
use crate::eyes::{Eyes, Witness};
use crate::serve::{Check, CheckStatus};

/// Facts that were established at the start and do not change.
#[derive(Clone, Debug)]
pub struct StartFacts {
    pub eyes: Eyes,
    pub realtime: bool,
    pub memory_locked: bool,
}

/// All checks, in the order a person would repair them. `kubelet` counts on a node of Kubernetes only.
pub fn checks(
    config: &Config,
    facts: &StartFacts,
    plan: &Plan,
    kubelet: &ConfigHeard,
) -> Vec<Check> {
    let host = HostRoot::new(&config.host.root);
    let mut checks = vec![
        cgroup_v2(&host),
        managed_tree(config, &host),
        controllers(config, &host),
        psi(facts),
        btf(&host),
        probe(facts),
        witness(facts),
        realtime(facts),
        memory(facts),
        open_files(),
        runtime_dir(config),
    ];
    if config.kubernetes.is_some() {
        let all = hostfs::CgroupTree::open(&host, &CgroupPath::from("/")).ok();
        checks.extend(kubelet::checks(kubelet, all.as_ref(), &config.host.managed_cgroup));
    }
    // Without the tree the second check has said what is wrong.
    if let Ok(tree) = hostfs::CgroupTree::open(&host, &managed(config)) {
        checks.extend(knobs::checks(&tree, &host, plan));
    }
    checks
}

fn managed(config: &Config) -> CgroupPath {
    CgroupPath::new(config.host.managed_cgroup.as_str())
}

fn check(
    name: &str,
    holds: bool,
    otherwise: CheckStatus,
    detail: impl Into<String>,
    fix: &str,
) -> Check {
    Check {
        name: name.to_owned(),
        status: if holds { CheckStatus::Ok } else { otherwise },
        detail: detail.into(),
        fix: if holds { String::new() } else { fix.to_owned() },
    }
}

fn cgroup_v2(host: &HostRoot) -> Check {
    let layout = detect_layout(host);
    let (holds, detail) = match &layout {
        Ok(layout @ Layout::V2 { .. }) => (true, layout.to_string()),
        Ok(layout) => (false, layout.to_string()),
        Err(error) => (false, error.to_string()),
    };
    let fix = "boot with systemd.unified_cgroup_hierarchy=1 (cgroup v2 only); until then the agent observes";
    check("cgroup v2", holds, CheckStatus::Fail, detail, fix)
}

fn managed_tree(config: &Config, host: &HostRoot) -> Check {
    let opened = hostfs::CgroupTree::open(host, &managed(config))
        .map_err(|error| error.to_string())
        .and_then(|tree| tree.cgroup(&"/".into()).map_err(|error| error.to_string()));
    let detail = match &opened {
        Ok(cgroup) => cgroup.shown().display().to_string(),
        Err(error) => error.clone(),
    };
    let fix = "create it (systemd: a slice with Delegate=yes) or set host.managed_cgroup";
    check("managed cgroup", opened.is_ok(), CheckStatus::Fail, detail, fix)
}

fn controllers(config: &Config, host: &HostRoot) -> Check {
    let found = hostfs::CgroupTree::open(host, &managed(config))
        .ok()
        .and_then(|tree| tree.cgroup(&"/".into()).ok())
        .and_then(|cgroup| cgroup.subtree_control().ok())
        .unwrap_or_default();
    let missing: Vec<&str> =
        ["cpu", "cpuset"].into_iter().filter(|wanted| !found.contains(*wanted)).collect();
    let detail = match missing.is_empty() {
        true => "cpu and cpuset are enabled for the managed cgroups".to_owned(),
        false => format!("not enabled: {}", missing.join(", ")),
    };
    let fix = "echo '+cpu +cpuset' > cgroup.subtree_control of the managed cgroup";
    check("controllers", missing.is_empty(), CheckStatus::Fail, detail, fix)
}

fn psi(facts: &StartFacts) -> Check {
    let pressure = &facts.eyes.pressure;
    let fix = "boot with psi=1, on a kernel built with CONFIG_PSI";
    check("PSI", pressure.works, CheckStatus::Warn, pressure.text.clone(), fix)
}

fn btf(host: &HostRoot) -> Check {
    let there = host.sys().join("kernel/btf/vmlinux").exists();
    let detail = if there { "kernel BTF is there" } else { "/sys/kernel/btf/vmlinux is absent" };
    let fix =
        "use a kernel built with CONFIG_DEBUG_INFO_BTF (Debian's and all large distributions')";
    check("kernel BTF", there, CheckStatus::Warn, detail, fix)
}

fn probe(facts: &StartFacts) -> Check {
    let fix = "run as root with CAP_BPF and CAP_PERFMON, with bpf(2) allowed by the container's seccomp profile, \
         on a kernel with BTF";
    let probe = &facts.eyes.probe;
    check("BPF probes", probe.works, CheckStatus::Warn, probe.text.clone(), fix)
}

/// What the two checks before come to.
fn witness(facts: &StartFacts) -> Check {
    let witness = facts.eyes.witness();
    let (holds, otherwise) = match witness {
        Witness::RunQueue | Witness::RunQueueAlone => (true, CheckStatus::Ok),
        Witness::Pressure => (false, CheckStatus::Warn),
        Witness::Nobody => (false, CheckStatus::Fail),
    };
    let fix = "mend one of the two checks above";
    check("burst witness", holds, otherwise, witness.to_string(), fix)
}

fn realtime(facts: &StartFacts) -> Check {
    let detail = match facts.realtime {
        true => "the loop and the fast lane run at real-time priority 1",
        false => "refused",
    };
    let fix = "give the agent CAP_SYS_NICE; without it suppression is slower on a full node";
    check("real-time priority", facts.realtime, CheckStatus::Warn, detail, fix)
}

fn memory(facts: &StartFacts) -> Check {
    let detail = if facts.memory_locked { "hot pages stay in memory" } else { "refused" };
    let fix = "give the agent CAP_IPC_LOCK or raise RLIMIT_MEMLOCK";
    check("memory lock", facts.memory_locked, CheckStatus::Warn, detail, fix)
}

/// The socket and new workloads need descriptors too; at this share of the limit it is time.
const FULL_PCT: u64 = 80;

fn open_files() -> Check {
    let (open, limit) = (hostfs::procfs::own_open_files(), crate::priority::most_open_files());
    let (holds, detail) = match (open, limit) {
        (Some(open), None) => (true, format!("{open}, without a limit")),
        (Some(open), Some(limit)) => {
            (open as u64 * 100 < limit * FULL_PCT, format!("{open} of {limit}"))
        }
        (None, limit) => (false, format!("cannot be counted; the limit is {limit:?}")),
    };
    let fix = "raise LimitNOFILE or give the agent CAP_SYS_RESOURCE: each workload takes fifteen";
    check("open files", holds, CheckStatus::Warn, detail, fix)
}

fn runtime_dir(config: &Config) -> Check {
    let dir = &config.agent.runtime_dir;
    let there = dir.is_dir();
    let detail = format!("{} {}", dir.display(), if there { "is there" } else { "is gone" });
    check(
        "runtime directory",
        there,
        CheckStatus::Fail,
        detail,
        "restart the agent; it makes the directory",
    )
}
