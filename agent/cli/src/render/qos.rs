//! `berth qos`: workloads, what they asked for, and what stands in their files beside what the plan
//! wants there.

use proto::v1::{CpuMax, Plan, PlannedWorkload, Snapshot, SourceHealth, Workload};

use super::{Detail, Look, columns};
use crate::units::{MISSING, age, bytes, cpus, duration, or_missing};

pub(crate) fn qos(snapshot: &Snapshot, plan: &Plan, look: Look) -> String {
    if snapshot.workloads.is_empty() {
        return "no workloads: no cgroup matches a [[workload]] of the agent's config\n".to_owned();
    }
    let wide = look.detail == Detail::Wide;
    let mut header = vec!["NAME", "QOS", "POOL", "REQUEST", "TARGET P99", "FILES"];
    if wide {
        header.extend(["ANON", "FILE", "READ/S", "WRITTEN/S", "STAT AGE"]);
        header.extend(["EFFECTIVE CPUS", "CGROUP", "CGROUP ID", "TASKS"]);
    }
    let rows = snapshot.workloads.iter().map(|workload| {
        let planned = plan.workloads.iter().find(|planned| planned.name == workload.name);
        row(workload, planned, wide)
    });
    let numbers = ["REQUEST", "TARGET P99", "ANON", "FILE", "READ/S", "WRITTEN/S", "STAT AGE"];
    columns(&header, &[&numbers[..], &["CGROUP ID"]].concat(), rows.collect())
}

fn row(workload: &Workload, planned: Option<&PlannedWorkload>, wide: bool) -> Vec<String> {
    let target = workload.target_wait_p99_us.map(|micros| micros.saturating_mul(1000));
    let mut row = vec![
        workload.name.clone(),
        workload.qos.clone(),
        or_missing(workload.pool.clone(), |pool| pool),
        cpus(workload.request_milli_cpu),
        or_missing(target, duration),
        files(workload, planned),
    ];
    if wide {
        let knobs = workload.knobs.as_ref();
        let effective = knobs.and_then(|knobs| knobs.cpuset_cpus_effective.clone());
        row.extend(stats(workload));
        row.extend([
            or_missing(effective, |cpus| cpus),
            workload.cgroup.clone(),
            workload.cgroup_id.to_string(),
            if workload.populated { "yes" } else { "none" }.to_owned(),
        ]);
    }
    row
}

/// Memory and disks, how old both are, and which file cannot be read.
fn stats(workload: &Workload) -> [String; 5] {
    let memory = workload.memory.clone().unwrap_or_default();
    let io = workload.io.clone().unwrap_or_default();
    let healths = [memory.health, io.health];
    let fault = |health: &SourceHealth| Some(format!("{} {}", health.name, health.fault.as_ref()?));
    let faults: Vec<String> = healths.iter().flatten().filter_map(fault).collect();
    let oldest = healths.iter().flatten().filter_map(|health| health.age_ns).max();
    [
        or_missing(memory.anon_bytes, bytes),
        or_missing(memory.file_bytes, bytes),
        or_missing(io.read_bytes_per_s, bytes),
        or_missing(io.written_bytes_per_s, bytes),
        [vec![or_missing(oldest, age)], faults].concat().join(", "),
    ]
}

/// `weight=100 idle=0 max=max cpus=0-3`; where the plan differs: `weight=100(plan 1)`.
fn files(workload: &Workload, planned: Option<&PlannedWorkload>) -> String {
    let knobs = workload.knobs.clone().unwrap_or_default();
    let number = |flag: bool| u8::from(flag).to_string();
    let inherit = |cpus: String| if cpus.is_empty() { "inherit".to_owned() } else { cpus };
    let parts = [
        (
            "weight",
            knobs.cpu_weight.map(|weight| weight.to_string()),
            planned.and_then(|plan| plan.cpu_weight).map(|weight| weight.to_string()),
        ),
        ("idle", knobs.cpu_idle.map(number), planned.and_then(|plan| plan.cpu_idle).map(number)),
        (
            "max",
            knobs.cpu_max.as_ref().map(cpu_max),
            planned.and_then(|plan| plan.cpu_max.as_ref()).map(cpu_max),
        ),
        (
            "cpus",
            knobs.cpuset_cpus.map(inherit),
            planned.map(|plan| plan.cpus.clone()).filter(|cpus| !cpus.is_empty()),
        ),
    ];
    let texts: Vec<String> = parts
        .into_iter()
        .filter_map(|(file, holds, wanted)| match (holds, wanted) {
            (None, None) => None,
            (Some(holds), Some(wanted)) if holds != wanted => {
                Some(format!("{file}={holds}(plan {wanted})"))
            }
            (None, Some(wanted)) => Some(format!("{file}=?(plan {wanted})")),
            (Some(holds), _) => Some(format!("{file}={holds}")),
        })
        .collect();
    match texts.is_empty() {
        true => MISSING.to_owned(),
        false => texts.join(" "),
    }
}

/// CPUs worth of quota, or `max`.
fn cpu_max(max: &CpuMax) -> String {
    match max.quota_us {
        None => "max".to_owned(),
        Some(quota_us) => format!("{quota_us}/{}", max.period_us),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fixture;
    use crate::render::Paint;

    #[track_caller]
    fn check(detail: Detail, expect: Expect) {
        let look = Look { detail, paint: Paint::Plain };
        expect.assert_eq(&qos(&fixture::snapshot(), &fixture::plan(), look));
    }

    #[test]
    fn files_show_the_plan_where_it_differs() {
        check(
            Detail::Table,
            expect![[r#"
            NAME       QOS              POOL     REQUEST  TARGET P99  FILES
            batch/one  reclaimed_cores  reclaim     0.00           -  weight=1 idle=1 max=5000/100000 cpus=2-3,5-6
            batch/two  reclaimed_cores  -           0.00           -  weight=1 idle=1 max=5000/100000 cpus=2-3,5-6
            web        shared_cores     share       2.00       5.0ms  weight=100(plan 200) idle=0 max=max cpus=inherit(plan 1-3)
        "#]],
        );
        check(
            Detail::Wide,
            expect![[r#"
                NAME       QOS              POOL     REQUEST  TARGET P99  FILES                                                          ANON     FILE   READ/S  WRITTEN/S                   STAT AGE  EFFECTIVE CPUS  CGROUP                 CGROUP ID  TASKS
                batch/one  reclaimed_cores  reclaim     0.00           -  weight=1 idle=1 max=5000/100000 cpus=2-3,5-6                750 MiB  375 MiB  1.5 MiB        0 B                       9.0s  2-3,5-6         /demo.slice/batch-one       4711  yes
                batch/two  reclaimed_cores  -           0.00           -  weight=1 idle=1 max=5000/100000 cpus=2-3,5-6                      -        -        -          -  9.0s, io.stat unsupported  2-3,5-6         /demo.slice/batch-two       4711  yes
                web        shared_cores     share       2.00       5.0ms  weight=100(plan 200) idle=0 max=max cpus=inherit(plan 1-3)  1.2 GiB  612 MiB  2.4 MiB        0 B                       9.0s  0-6             /demo.slice/web             4711  yes
            "#]],
        );
    }

    #[test]
    fn an_empty_node_says_why() {
        let look = Look { detail: Detail::Table, paint: Paint::Plain };
        let text = qos(&Snapshot::default(), &Plan::default(), look);
        assert_eq!(text, "no workloads: no cgroup matches a [[workload]] of the agent's config\n");
    }
}
