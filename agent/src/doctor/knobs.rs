//! The files that the Plan in force writes: one row for each kind that this host cannot have
//! written, with the reason and the fix, or one row that all is well.

use hostfs::{Cgroup, CgroupTree, HostRoot, knob_file};
use model::knob::Knob;
use model::plan::Plan;

use super::check;
use crate::serve::{Check, CheckStatus};

pub(super) fn checks(tree: &CgroupTree, host: &HostRoot, plan: &Plan) -> Vec<Check> {
    let planned: Vec<Knob> = Knob::ALL.into_iter().filter(|knob| is_planned(plan, *knob)).collect();
    let mut found: Vec<Check> =
        planned.iter().filter_map(|knob| unwritable(tree, host, plan, *knob)).collect();
    if found.is_empty() && !planned.is_empty() {
        let files: Vec<&str> = planned.iter().map(|knob| knob.file()).collect();
        found.push(check("planned files", true, CheckStatus::Ok, files.join(", "), ""));
    }
    found
}

fn is_planned(plan: &Plan, knob: Knob) -> bool {
    plan.workloads.values().any(|workload| workload.get(knob).is_some())
}

/// The first cgroup whose file cannot be written speaks for all of them. One that is gone is no
/// problem: the next Plan will not have it.
fn unwritable(tree: &CgroupTree, host: &HostRoot, plan: &Plan, knob: Knob) -> Option<Check> {
    let planned = plan.workloads.values().filter(|workload| workload.get(knob).is_some());
    let wrong = planned.filter_map(|workload| {
        let path = workload.cgroups_with(knob).first()?;
        let cgroup = tree.cgroup(path).ok()?;
        Some((wrong_with(&cgroup, host, knob)?, path.clone()))
    });
    let mut wrong = wrong.peekable();
    let ((why, fix), cgroup) = wrong.peek().cloned()?;
    let n = wrong.count();
    let detail = format!("{why} in {cgroup}{}", if n > 1 { " and others" } else { "" });
    Some(check(knob.file(), false, CheckStatus::Warn, detail, &fix))
}

/// Why, and what to do about it.
fn wrong_with(cgroup: &Cgroup, host: &HostRoot, knob: Knob) -> Option<(&'static str, String)> {
    let Some(file) = knob_file(knob) else {
        let there = host.proc().join("self").join(knob.file()).exists();
        if !there {
            let fix =
                "give the agent the host's /proc (hostPID: true, host.root in the configuration)";
            return Some(("no process to be seen", fix.to_owned()));
        }
        let may = cgroup.may_write_oom_scores().unwrap_or(true);
        let fix = "give the agent CAP_DAC_OVERRIDE, and CAP_SYS_RESOURCE to lower a score";
        return (!may).then(|| ("not writable", fix.to_owned()));
    };
    if !cgroup.has(file) {
        return Some(absent(cgroup, knob));
    }
    let fix = "mount cgroup2 read-write for the agent and run it as root, or delegate the subtree to its user";
    (!cgroup.may_write(file)).then(|| ("not writable", fix.to_owned()))
}

fn absent(cgroup: &Cgroup, knob: Knob) -> (&'static str, String) {
    let controllers = cgroup.controllers().unwrap_or_default();
    match knob.controller().filter(|controller| !controllers.contains(*controller)) {
        Some(controller) => (
            "its controller is not enabled",
            format!("echo '+{controller}' > cgroup.subtree_control of every cgroup above"),
        ),
        None => ("this kernel has no such file", newer(knob).to_owned()),
    }
}

/// From which kernel on there is the file (Documentation/admin-guide/cgroup-v2.rst and its history).
const fn newer(knob: Knob) -> &'static str {
    match knob {
        Knob::CpuMaxBurst => "boot Linux 5.14 or later, with CONFIG_CFS_BANDWIDTH",
        Knob::CpuIdle => "boot Linux 5.15 or later",
        Knob::CpuMax => "boot a kernel with CONFIG_CFS_BANDWIDTH",
        _ => "boot a kernel that has it, or take the wish out of the configuration",
    }
}

#[cfg(test)]
mod tests {
    use model::knob::MemoryLimit;
    use model::plan::WorkloadPlan;
    use model::qos::{CgroupPath, PoolName, QosLevel};
    use model::{CpuSet, Micros};

    use super::*;

    fn plan(spoil: impl FnOnce(&mut WorkloadPlan)) -> Plan {
        let mut workload = WorkloadPlan {
            qos: QosLevel::ReclaimedCores,
            pool: PoolName::from(PoolName::RECLAIM),
            cgroup: CgroupPath::from("/ml"),
            containers: None,
            cpus: CpuSet::EMPTY,
            cpu_weight: None,
            cpu_idle: None,
            cpu_max: None,
            cpu_burst: None,
            mems: None,
            memory_min: None,
            memory_low: None,
            memory_high: None,
            memory_max: None,
            oom_score_adj: None,
        };
        spoil(&mut workload);
        Plan { workloads: [("ml".into(), workload)].into(), ..Plan::default() }
    }

    /// Name, detail and fix of each row, on a host whose only group has these files.
    #[track_caller]
    fn check_rows(files: &[(&str, &str)], plan: &Plan, expect: &[(&str, &str, &str)]) {
        let root = tempfile::tempdir().expect("a folder");
        let ml = root.path().join("ml");
        std::fs::create_dir(&ml).expect("a group");
        for (file, text) in [("cgroup.procs", "")].iter().chain(files) {
            std::fs::write(ml.join(file), text).expect("a file");
        }
        let (tree, host) = (CgroupTree::at(root.path()), HostRoot::new(root.path()));
        let rows = checks(&tree, &host, plan);
        let rows: Vec<(&str, &str, &str)> =
            rows.iter().map(|row| (&*row.name, &*row.detail, &*row.fix)).collect();
        assert_eq!(rows, expect);
    }

    #[test]
    fn each_kind_that_cannot_be_written_has_its_row_and_its_fix() {
        let burst = plan(|ml| ml.cpu_burst = Some(Micros(5)));
        let memory = plan(|ml| ml.memory_low = Some(MemoryLimit::Max));
        let score = plan(|ml| ml.oom_score_adj = model::knob::OomScoreAdj::new(5));
        let (all, cpu) = (("cgroup.controllers", "cpu memory\n"), ("cgroup.controllers", "cpu\n"));
        check_rows(&[], &plan(|_| ()), &[]);
        check_rows(
            &[all, ("cpu.max.burst", "0\n")],
            &burst,
            &[("planned files", "cpu.max.burst", "")],
        );
        check_rows(
            &[all],
            &burst,
            &[(
                "cpu.max.burst",
                "this kernel has no such file in /ml",
                "boot Linux 5.14 or later, with CONFIG_CFS_BANDWIDTH",
            )],
        );
        check_rows(
            &[cpu],
            &memory,
            &[(
                "memory.low",
                "its controller is not enabled in /ml",
                "echo '+memory' > cgroup.subtree_control of every cgroup above",
            )],
        );
        check_rows(
            &[],
            &score,
            &[(
                "oom_score_adj",
                "no process to be seen in /ml",
                "give the agent the host's /proc (hostPID: true, host.root in the configuration)",
            )],
        );
    }
}
