//! Steps replayed one by one on a model of cgroup files: after every prefix two cgroups meet only
//! where they met before or will meet at the end, and the end is what was wanted.

use std::collections::{BTreeMap, BTreeSet};

use advisor::{PlanInput, effective, plan, steps};
use model::knob::{KnobTable, KnobValue};
use model::plan::{Overlay, Plan, Step, WorkloadPlan};
use model::qos::{CgroupPath, PoolName, QosLevel, WorkloadName};
use model::{CpuId, MilliCpu, Timestamp};
use proptest::prelude::*;

use crate::node::{arb_policy, arb_seconds, ids};

/// The files of all cgroups, with the kernel's refusals written out again.
#[derive(Clone, Default)]
struct Files {
    idle: BTreeMap<CgroupPath, bool>,
    weight: BTreeMap<CgroupPath, u16>,
    max: BTreeMap<CgroupPath, String>,
    cpus: BTreeMap<CgroupPath, BTreeSet<u16>>,
}

impl Files {
    fn write(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let path = step.cgroup.clone();
        match step.value {
            KnobValue::CpuIdle(idle) => {
                if self.idle.insert(path.clone(), idle) == Some(true) && !idle {
                    self.weight.insert(path, 100);
                }
            }
            KnobValue::CpuWeight(weight) => {
                prop_assert_ne!(self.idle.get(&path), Some(&true), "EINVAL: {}", step);
                self.weight.insert(path, weight.get());
            }
            KnobValue::CpuMax(max) => {
                prop_assert!(max.quota.is_some_and(|quota| quota.0 >= 1000), "{}", step);
                self.max.insert(path, max.to_string());
            }
            KnobValue::CpusetCpus(cpus) => {
                prop_assert!(!cpus.is_empty(), "ENOSPC: {}", step);
                self.cpus.insert(path, ids(cpus));
            }
            // Memory of a bound workload; no other memory file is planned by these policies.
            KnobValue::CpusetMems(mems) => prop_assert!(!mems.is_empty(), "ENOSPC: {}", step),
            other => prop_assert!(false, "nobody planned {}", other),
        }
        Ok(())
    }

    /// Which pairs of cgroups meet, and where.
    fn meetings(&self) -> BTreeSet<(CgroupPath, CgroupPath, u16)> {
        let mut meetings = BTreeSet::new();
        for (a, left) in &self.cpus {
            for (b, right) in self.cpus.iter().filter(|(b, _)| *b > a) {
                let both = left.intersection(right);
                meetings.extend(both.map(|cpu| (a.clone(), b.clone(), *cpu)));
            }
        }
        meetings
    }
}

fn believe(table: &mut KnobTable, steps: &[Step]) {
    for step in steps {
        let knobs = table.entry(step.cgroup.clone()).or_default();
        knobs.record(step.value);
    }
}

/// Carries the files from one state to the next, judging every prefix.
fn carry(files: &mut Files, believed: &mut KnobTable, wanted: &Plan) -> Result<(), TestCaseError> {
    let emitted = steps(believed, wanted);
    let mut after = files.clone();
    for step in &emitted {
        after.write(step)?;
    }
    let allowed = &files.meetings() | &after.meetings();
    // A cgroup that shares no CPU with its new place has to jump, and a new one comes from outside.
    let jumps: BTreeSet<&CgroupPath> = after
        .cpus
        .iter()
        .filter(|(path, new)| files.cpus.get(*path).is_none_or(|old| old.is_disjoint(new)))
        .map(|(path, _)| path)
        .collect();
    for step in &emitted {
        files.write(step)?;
        let met = files.meetings();
        let wrong: Vec<_> = met
            .difference(&allowed)
            .filter(|(a, b, _)| !jumps.contains(a) && !jumps.contains(b))
            .collect();
        prop_assert!(wrong.is_empty(), "after {step}: {wrong:?}");
    }
    believe(believed, &emitted);
    for workload in wanted.workloads.values() {
        let path = &workload.cgroup;
        prop_assert_eq!(files.cpus.get(path), Some(&ids(workload.cpus)));
        prop_assert_eq!(files.max.get(path).cloned(), workload.cpu_max.map(|max| max.to_string()));
        prop_assert_eq!(files.idle.get(path).copied(), workload.cpu_idle);
        if workload.cpu_idle != Some(true) {
            prop_assert_eq!(files.weight.get(path).copied(), workload.cpu_weight.map(|w| w.get()));
        }
    }
    prop_assert_eq!(steps(believed, wanted), vec![]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_prefix_is_safe(
        seconds in arb_seconds(),
        policy in arb_policy(),
        held in proptest::collection::vec(any::<bool>(), 6),
        floor in 0u64..3000,
    ) {
        let (mut files, mut believed) = (Files::default(), KnobTable::new());
        let mut previous: Option<Plan> = None;
        for (node, held) in seconds.iter().zip(held) {
            let input =
                PlanInput { now: node.at, snapshot: node, previous: previous.as_ref(), policy: &policy };
            let (planned, _) = plan(&input);
            let overlay = Overlay {
                began_at: node.at,
                expires_at: Timestamp(u64::MAX),
                floor: MilliCpu(floor),
                cpu_idle: true,
                throttle: true,
                victim: WorkloadName::from("w0"),
                first_wait_at: node.at,
            };
            // A workload of another level under an old path is another cgroup.
            forget_changed(previous.as_ref(), &planned, &mut files, &mut believed);
            let wanted = effective(&planned, held.then_some(&overlay), node.at);
            carry(&mut files, &mut believed, &wanted)?;
            previous = Some(planned);
        }
    }
}

/// Cpusets that no planner would give: everybody gives and takes at once.
fn arb_sets() -> impl Strategy<Value = Plan> {
    proptest::collection::vec(proptest::collection::btree_set(0u16..6, 1..5), 3).prop_map(|sets| {
        let workloads = sets.into_iter().enumerate().map(|(idx, cpus)| {
            let workload = WorkloadPlan {
                qos: QosLevel::SharedCores,
                pool: PoolName::from("any"),
                cgroup: CgroupPath::new(format!("/w{idx}")),
                containers: None,
                cpus: cpus.into_iter().map(CpuId).collect(),
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
            (WorkloadName::new(format!("w{idx}")), workload)
        });
        Plan { workloads: workloads.collect(), ..Plan::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_exchange_of_cpus_is_safe(first in arb_sets(), second in arb_sets()) {
        let (mut files, mut believed) = (Files::default(), KnobTable::new());
        carry(&mut files, &mut believed, &first)?;
        carry(&mut files, &mut believed, &second)?;
    }
}

fn forget_changed(
    previous: Option<&Plan>,
    plan: &Plan,
    files: &mut Files,
    believed: &mut KnobTable,
) {
    let Some(previous) = previous else { return };
    for (name, old) in &previous.workloads {
        if plan.workloads.get(name).is_none_or(|new| new.qos != old.qos) {
            files.idle.remove(&old.cgroup);
            files.weight.remove(&old.cgroup);
            files.max.remove(&old.cgroup);
            files.cpus.remove(&old.cgroup);
            believed.remove(&old.cgroup);
        }
    }
}
