//! Files that a Plan leaves alone although the one before said what they hold: a pod whose annotation changed from batch work to a service
//! must not keep the weight of batch work. What stood there before goes back. Pure; the originals are the actuator's.

use std::collections::BTreeMap;

use model::Timestamp;
use model::decision::Decision;
use model::knob::Knob;
use model::plan::{Plan, WorkloadPlan};
use model::qos::{CgroupPath, WorkloadName};

/// Files of one cgroup that are nobody's any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub workload: WorkloadName,
    pub cgroup: CgroupPath,
    pub knobs: Vec<Knob>,
}

/// What changes hands from one Plan to the next. A workload that is gone took its files along.
pub(super) fn between(before: &Plan, after: &Plan) -> Vec<Release> {
    let mut released = Vec::new();
    for (name, new) in &after.workloads {
        let old = before.workloads.get(name).filter(|old| old.cgroup == new.cgroup && *old != new);
        let Some(old) = old else { continue };
        let mut files: BTreeMap<&CgroupPath, Vec<Knob>> = BTreeMap::new();
        for knob in Knob::ALL.into_iter().filter(|knob| is_set(old, *knob) && !is_set(new, *knob)) {
            for cgroup in old.cgroups_with(knob) {
                files.entry(cgroup).or_default().push(knob);
            }
        }
        let release = |(cgroup, knobs): (&CgroupPath, Vec<Knob>)| Release {
            workload: name.clone(),
            cgroup: cgroup.clone(),
            knobs,
        };
        released.extend(files.into_iter().map(release));
    }
    released
}

/// An overlay writes these of batch work, whatever the Plan says of them.
fn is_set(workload: &WorkloadPlan, knob: Knob) -> bool {
    let by_overlay = matches!(knob, Knob::CpuIdle | Knob::CpuMax) && workload.qos.is_reclaimed();
    by_overlay || workload.get(knob).is_some()
}

pub(super) fn decision(now: Timestamp, release: &Release) -> Decision {
    let files: Vec<&str> = release.knobs.iter().map(|knob| knob.file()).collect();
    Decision {
        at: now,
        rule: "release",
        subject: release.workload.to_string(),
        inputs: vec![("cgroup", release.cgroup.to_string()), ("files", files.join(" "))],
        result: "the Plan says nothing of them any more: what stood there before goes back"
            .to_owned(),
    }
}
