//! Burst and memory files under random exchanges, replayed on a model of the kernel's rules and of
//! ours: no Step is refused, the sum of protection never grows over both ends, limits and protection
//! keep their order inside a group, memory nodes are there for every CPU.

use std::collections::BTreeMap;

use advisor::steps;
use model::knob::{CpuMax, KnobTable, KnobValue, MemoryLimit};
use model::plan::{Plan, Step, WorkloadPlan};
use model::qos::{CgroupPath, PoolName, QosLevel, WorkloadName};
use model::{Bytes, CpuId, CpuSet, Micros, NumaNodeId, NumaSet};
use proptest::prelude::*;

/// What a group's files hold, as numbers; `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Group {
    quota: u64,
    burst: u64,
    cpus: CpuSet,
    mems: NumaSet,
    min: u64,
    low: u64,
    high: u64,
    max: u64,
}

fn bytes(limit: MemoryLimit) -> u64 {
    match limit {
        MemoryLimit::Bytes(bytes) => bytes.0,
        MemoryLimit::Max => u64::MAX,
    }
}

impl Group {
    fn write(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step.value {
            KnobValue::CpuMax(max) => self.quota = max.quota.map_or(u64::MAX, |quota| quota.0),
            KnobValue::CpuMaxBurst(burst) => self.burst = burst.0,
            KnobValue::CpusetCpus(cpus) => self.cpus = cpus,
            KnobValue::CpusetMems(mems) => self.mems = mems,
            KnobValue::MemoryMin(limit) => self.min = bytes(limit),
            KnobValue::MemoryLow(limit) => self.low = bytes(limit),
            KnobValue::MemoryHigh(limit) => self.high = bytes(limit),
            KnobValue::MemoryMax(limit) => self.max = bytes(limit),
            other => prop_assert!(false, "nobody planned {}", other),
        }
        prop_assert!(self.burst <= self.quota, "EINVAL: {}", step);
        prop_assert!(self.min <= self.low && self.high <= self.max, "{}: {:?}", step, self);
        prop_assert!(!self.mems.is_empty() && !self.cpus.is_empty(), "ENOSPC: {}", step);
        // Two CPUs a node: memory beside each of them.
        let beside: NumaSet = self.cpus.iter().map(|cpu| NumaNodeId(cpu.0 / 2)).collect();
        prop_assert!(beside.is_subset(self.mems), "{}: {:?}", step, self);
        Ok(())
    }
}

fn arb_limit() -> impl Strategy<Value = MemoryLimit> {
    proptest::option::of(0u64..9).prop_map(|n| {
        n.map_or(MemoryLimit::Max, |n| MemoryLimit::Bytes(Bytes(n * MemoryLimit::GRAIN.0)))
    })
}

fn arb_workload() -> impl Strategy<Value = WorkloadPlan> {
    let cpus = proptest::collection::btree_set(0u16..6, 1..5);
    (cpus, (0u64..9, 0u64..9), [(); 4].map(|()| arb_limit())).prop_map(|(cpus, (a, b), limits)| {
        let [one, two, three, four] = limits;
        let cpus: CpuSet = cpus.into_iter().map(CpuId).collect();
        let quota = Some(Micros(1000 + 1000 * a.max(b)));
        WorkloadPlan {
            qos: QosLevel::SharedCores,
            pool: PoolName::from("any"),
            cgroup: CgroupPath::from("/unnamed"),
            containers: None,
            cpus,
            cpu_weight: None,
            cpu_idle: None,
            cpu_max: Some(CpuMax { quota, period: CpuMax::PERIOD }),
            cpu_burst: Some(Micros(1000 * a.min(b))),
            mems: Some(cpus.iter().map(|cpu| NumaNodeId(cpu.0 / 2)).collect()),
            memory_min: Some(one.min(two)),
            memory_low: Some(one.max(two)),
            memory_high: Some(three.min(four)),
            memory_max: Some(three.max(four)),
            oom_score_adj: None,
        }
    })
}

fn arb_plan() -> impl Strategy<Value = Plan> {
    proptest::collection::vec(arb_workload(), 3).prop_map(|all| {
        let workloads = all.into_iter().enumerate().map(|(idx, workload)| {
            let cgroup = CgroupPath::new(format!("/w{idx}"));
            (WorkloadName::new(format!("w{idx}")), WorkloadPlan { cgroup, ..workload })
        });
        Plan { workloads: workloads.collect(), ..Plan::default() }
    })
}

fn protected(groups: &BTreeMap<CgroupPath, Group>) -> (u128, u128) {
    let sum = |of: fn(&Group) -> u64| groups.values().map(|group| u128::from(of(group))).sum();
    (sum(|group| group.min), sum(|group| group.low))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_exchange_of_memory_and_burst_is_safe(plans in proptest::collection::vec(arb_plan(), 3)) {
        // As the kernel makes a group: no quota, nothing protected, no limit, all nodes.
        let fresh = Group {
            quota: u64::MAX,
            burst: 0,
            cpus: (0..6).map(CpuId).collect(),
            mems: (0..3).map(NumaNodeId).collect(),
            min: 0,
            low: 0,
            high: u64::MAX,
            max: u64::MAX,
        };
        let mut groups: BTreeMap<CgroupPath, Group> =
            ["/w0", "/w1", "/w2"].map(|path| (CgroupPath::from(path), fresh)).into();
        let mut believed = KnobTable::new();
        for plan in &plans {
            let emitted = steps(&believed, plan);
            let before = protected(&groups);
            let mut after = groups.clone();
            for step in &emitted {
                after.get_mut(&step.cgroup).expect("a group").write(step)?;
            }
            let end = protected(&after);
            let most = (before.0.max(end.0), before.1.max(end.1));
            for step in &emitted {
                groups.get_mut(&step.cgroup).expect("a group").write(step)?;
                let (min, low) = protected(&groups);
                prop_assert!(min <= most.0 && low <= most.1, "after {}: too much is protected", step);
                believed.entry(step.cgroup.clone()).or_default().record(step.value);
            }
            prop_assert_eq!(steps(&believed, plan), vec![]);
            prop_assert_eq!(&groups, &after);
        }
    }
}
