//! The simulated node: CPUs, cgroup files, tasks with a demand, and a little scheduler. Owns what
//! the kernel would do with a Step; knows nothing of Plans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use advisor::turn::Release;
use model::knob::{CpuMax, CpuWeight, Knob, KnobValue, Knobs};
use model::plan::{Applied, FailureKind, Outcome, Step, StepFailure};
use model::qos::{CgroupPath, WorkloadName};
use model::sample::{
    CpuStat, CpuTimes, HostSample, ProbeSample, Sample, SlotSample, Source, WorkloadSample,
    WorkloadSpec,
};
use model::topology::{Shape, Topology};
use model::{
    Bytes, CgroupId, CpuId, CpuSet, Histogram, Micros, MilliCpu, Nanos, SlotId, Timestamp,
};

/// A workload with its cgroup's files.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    pub(crate) spec: WorkloadSpec,
    pub(crate) id: CgroupId,
    pub(crate) slot: SlotId,
    /// CPU time it would use per second if it could.
    pub(crate) demand: MilliCpu,
    pub(crate) knobs: Knobs,
    usage: Micros,
    probe: SlotSample,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) now: Timestamp,
    topology: Topology,
    pub(crate) cgroups: BTreeMap<WorkloadName, Cgroup>,
    /// Files whose writes are refused, by workload.
    pub(crate) denied: BTreeSet<(WorkloadName, Knob)>,
    /// The probe's last reading, kept while it is frozen.
    pub(crate) frozen: Option<Source<ProbeSample>>,
    n_made: u16,
}

impl Node {
    pub(crate) fn new(n_nodes: u16, n_cores: u16, n_threads: u16) -> Node {
        let shape = Shape {
            sockets: 1,
            nodes_per_socket: n_nodes,
            llcs_per_node: 1,
            cores_per_llc: n_cores,
            threads_per_core: n_threads,
            memory_per_node: Bytes(1 << 30),
        };
        Node {
            now: Timestamp(0),
            topology: Topology::synthetic(shape),
            cgroups: BTreeMap::new(),
            denied: BTreeSet::new(),
            frozen: None,
            n_made: 0,
        }
    }

    /// A new cgroup; one that existed under the name is gone with its files.
    pub(crate) fn make(&mut self, name: &str, spec: WorkloadSpec, demand: MilliCpu) {
        self.n_made += 1;
        let knobs = self.untouched();
        let cgroup = Cgroup {
            spec,
            id: CgroupId(u64::from(self.n_made) + 1000),
            slot: SlotId(self.n_made),
            demand,
            knobs,
            usage: Micros(0),
            probe: SlotSample::default(),
        };
        self.cgroups.insert(WorkloadName::from(name), cgroup);
    }

    /// Files of a cgroup that nobody has written.
    fn untouched(&self) -> Knobs {
        Knobs {
            cpu_idle: Some(false),
            cpu_weight: Some(CpuWeight::DEFAULT),
            cpu_max: Some(CpuMax::UNLIMITED),
            cpuset_cpus: Some(CpuSet::EMPTY),
            cpuset_effective: Some(self.topology.online()),
            ..Knobs::default()
        }
    }

    /// What stood there before goes back.
    pub(crate) fn release(&mut self, release: &Release) {
        let untouched = self.untouched();
        if let Some(cgroup) = self.cgroups.get_mut(&release.workload) {
            let values = release.knobs.iter().filter_map(|knob| untouched.get(*knob));
            values.for_each(|value| cgroup.knobs.record(value));
        }
    }

    pub(crate) fn set_online(&mut self, cpu: CpuId, online: bool) {
        if let Some(entry) = self.topology.cpus.get_mut(&cpu) {
            entry.online = online;
        }
        match online {
            true => self.topology.offline.remove(cpu),
            false => drop(self.topology.offline.insert(cpu)),
        }
    }

    /// Lets `span` pass: everybody runs as far as demand, limits and CPUs allow. Batch work takes
    /// what the others leave; while it is not held down it makes them wait.
    pub(crate) fn run_for(&mut self, span: Nanos) {
        self.now = self.now.after(span);
        let capacity = MilliCpu::from_cpus(self.topology.n_online() as u64).0;
        let wanted: u64 = self.cgroups.values().map(|c| c.granted(&self.topology)).sum();
        let contended = wanted > capacity;
        let offenders = self.offenders();
        let reclaimed = model::qos::QosLevel::ReclaimedCores;
        let shared: u64 = self.granted_to(|c| c.spec.qos != reclaimed);
        let batch: u64 = self.granted_to(|c| c.spec.qos == reclaimed);
        let left = capacity.saturating_sub(shared).min(batch);
        for cgroup in self.cgroups.values_mut() {
            let granted = cgroup.granted(&self.topology);
            let ran = match cgroup.spec.qos == reclaimed {
                true => granted * left / batch.max(1),
                false => granted.min(capacity),
            };
            cgroup.ran(ran, span);
            cgroup.waited(contended, &offenders, span);
        }
    }

    fn granted_to(&self, of: impl Fn(&Cgroup) -> bool) -> u64 {
        self.cgroups.values().filter(|c| of(c)).map(|c| c.granted(&self.topology)).sum()
    }

    /// Batch work that is not held down and so gets in the way.
    fn offenders(&self) -> Vec<SlotId> {
        let batch = self.cgroups.values().filter(|c| {
            c.spec.qos == model::qos::QosLevel::ReclaimedCores
                && c.knobs.cpu_idle != Some(true)
                && c.demand.0 > 0
        });
        batch.map(|c| c.slot).collect()
    }

    /// What the collector would have read now.
    pub(crate) fn sample(&self) -> Sample {
        let at = self.now;
        let online = self.topology.online();
        let host = HostSample {
            cpus: online.iter().map(|cpu| (cpu, CpuTimes::default())).collect(),
            ..HostSample::default()
        };
        let workloads = self.cgroups.iter().map(|(name, c)| (name.clone(), c.sample(name, at)));
        let slots = self.cgroups.values().map(|c| (c.slot, c.probe.clone())).collect();
        let probe = Source::fresh(at, ProbeSample { slots, ..ProbeSample::default() });
        Sample {
            at,
            topology: Source::fresh(at, Arc::new(self.topology.clone())),
            host: Source::fresh(at, host),
            workloads: Source::fresh(at, workloads.collect()),
            probe: self.frozen.clone().unwrap_or(probe),
        }
    }

    /// What the kernel answers to one Step. It knows paths only.
    pub(crate) fn apply(&mut self, step: &Step) -> Outcome {
        let online = self.topology.online();
        let at_path = self.cgroups.iter_mut().find(|(name, _)| path_of(name) == step.cgroup);
        let result = match at_path {
            None => Err((FailureKind::Vanished, 2)),
            Some((name, _)) if self.denied.contains(&(name.clone(), step.knob())) => {
                Err((FailureKind::Denied, 13))
            }
            Some((_, cgroup)) => {
                cgroup.write(step.value, &online).map_err(|errno| (FailureKind::Invalid, errno))
            }
        };
        let result = result.map(|()| Applied::Written).map_err(|(kind, errno)| StepFailure {
            kind,
            errno: Some(errno),
            message: format!(
                "{}/{} refused {:?}",
                step.cgroup,
                step.knob().file(),
                step.value.to_string()
            ),
        });
        Outcome { step: step.clone(), result, finished_at: self.now, took: Nanos(0) }
    }
}

pub(crate) fn path_of(name: &WorkloadName) -> CgroupPath {
    CgroupPath::new(format!("/{name}"))
}

impl Cgroup {
    /// Demand cut by quota and cpuset.
    fn granted(&self, topology: &Topology) -> u64 {
        let online = topology.online();
        let set = self.knobs.cpuset_cpus.unwrap_or_default().intersection(&online);
        let cpus = if set.is_empty() { online.len() } else { set.len() };
        let by_quota = self.knobs.cpu_max.and_then(|max| Some(max.quota?.0 * 1000 / max.period.0));
        self.demand.0.min(cpus as u64 * 1000).min(by_quota.unwrap_or(u64::MAX))
    }

    fn ran(&mut self, milli: u64, span: Nanos) {
        let micros = span.as_micros().0 * milli / 1000;
        self.usage.0 += micros;
        self.probe.on_cpu.0 += micros * 1000;
    }

    /// A hundred wake-ups: 10 ms each behind batch work on a full node, else 100 us behind none.
    fn waited(&mut self, contended: bool, offenders: &[SlotId], span: Nanos) {
        let others: Vec<SlotId> =
            offenders.iter().copied().filter(|slot| *slot != self.slot).collect();
        let behind = contended && !others.is_empty() && self.demand.0 > 0;
        let wait = Nanos(if behind { 10_000_000 } else { 100_000 });
        self.probe.waits.buckets[Histogram::bucket_of(wait)] += 100;
        let waited = wait.0 * 100 * span.0.min(1_000_000_000) / 1_000_000_000;
        self.probe.causes.total.0 += waited;
        if behind {
            let part = waited / others.len() as u64;
            for slot in &others {
                self.probe.causes.by_offender.entry(*slot).or_default().0 += part;
            }
            self.probe.causes.unknown.0 += waited - part * others.len() as u64;
        } else {
            self.probe.causes.idle_or_steal.0 += waited;
        }
    }

    fn sample(&self, name: &WorkloadName, at: Timestamp) -> WorkloadSample {
        let mut knobs = self.knobs;
        if knobs.cpu_idle == Some(true) {
            // What kernel 6.1 shows for an idle group.
            knobs.cpu_weight = Some(CpuWeight::MIN);
        }
        WorkloadSample {
            spec: self.spec.clone(),
            cgroup: path_of(name),
            cgroup_id: self.id,
            slot: self.slot,
            at,
            populated: true,
            cpu_stat: Some(CpuStat { usage: self.usage, ..CpuStat::default() }),
            cpu_pressure: None,
            memory_current: None,
            seldom: std::sync::Arc::default(),
            knobs,
            containers: None,
            errors: Vec::new(),
        }
    }

    /// The errno of a refusal, else the file holds the value and its side effects happened.
    fn write(&mut self, value: KnobValue, online: &CpuSet) -> Result<(), i32> {
        const EINVAL: i32 = 22;
        const ENOSPC: i32 = 28;
        match value {
            KnobValue::CpuWeight(_) if self.knobs.cpu_idle == Some(true) => return Err(EINVAL),
            KnobValue::CpuMax(max) if max.quota.is_some_and(|q| q < CpuMax::MIN_QUOTA) => {
                return Err(EINVAL);
            }
            KnobValue::CpuMax(max)
                if max.quota < self.knobs.cpu_burst.filter(|_| max.quota.is_some()) =>
            {
                return Err(EINVAL);
            }
            KnobValue::CpuMaxBurst(burst)
                if self.knobs.cpu_max.and_then(|max| max.quota).is_some_and(|q| burst > q) =>
            {
                return Err(EINVAL);
            }
            KnobValue::CpusetMems(mems) if mems.is_empty() => return Err(ENOSPC),
            KnobValue::CpusetCpus(cpus) if cpus.is_empty() => return Err(ENOSPC),
            KnobValue::CpusetCpus(cpus) => {
                self.knobs.cpuset_effective = Some(cpus.intersection(online));
            }
            KnobValue::CpuIdle(false) if self.knobs.cpu_idle == Some(true) => {
                self.knobs.cpu_weight = Some(CpuWeight::DEFAULT);
            }
            _ => {}
        }
        self.knobs.record(value);
        Ok(())
    }
}
