//! The files of one workload's cgroup, and which of them a turn has to read. What a decision uses
//! is read every turn, what is only shown seldom; a value that was not read again is the last one.

use std::sync::Arc;

use hostfs::cgroup::read::PressureOf;
use hostfs::{Cgroup, CgroupTree, ReadError, read_knob};
use model::knob::{Knob, Knobs};
use model::qos::CgroupPath;
use model::sample::{
    ContainerSample, NodeUses, Reading, SeldomSample, Source, WorkloadSample, WorkloadSpec,
};
use model::{Bytes, CgroupId, Nanos, SlotId, Timestamp};

use crate::host::fault_of;

/// For what is only shown: `memory.stat` and `io.stat` make the kernel flush counters of every CPU, and
/// `memory.current` does on some kernels. `memory.numa_stat` flushes too, and is read with them. For knobs that only Berth is expected to write, too
/// (`Knob::is_seldom_read`): seven files more, of which `oom_score_adj` opens two for each container.
const SELDOM: Nanos = Nanos::from_secs(10);

/// Seldom readings are spread over so many turns of a second.
const N_PHASES: u64 = 10;

/// An open cgroup with what was read last.
#[derive(Debug)]
pub(crate) struct Files {
    cgroup: Cgroup,
    spec: WorkloadSpec,
    /// Of a pod.
    containers: Option<Vec<Cgroup>>,
    knobs: Knobs,
    seldom: Arc<SeldomSample>,
    memory: Option<Bytes>,
    /// What went wrong at the last seldom reading.
    seldom_errors: Vec<String>,
    seldom_at: Timestamp,
    /// How much sooner the second seldom reading comes: workloads that were found together are not
    /// read together for ever after.
    sooner: Nanos,
}

impl Files {
    /// `nth`: how many were opened before.
    pub(crate) fn new(cgroup: Cgroup, spec: WorkloadSpec, nth: u64) -> Files {
        Files {
            cgroup,
            spec,
            containers: None,
            knobs: Knobs::default(),
            seldom: Arc::default(),
            memory: None,
            seldom_errors: Vec::new(),
            seldom_at: Timestamp(0),
            sooner: Nanos(nth % N_PHASES * (SELDOM.0 / N_PHASES)),
        }
    }

    /// Another request, or another wish: of a pod that was resized or annotated.
    pub(crate) fn set_spec(&mut self, spec: WorkloadSpec) {
        self.spec = spec;
    }

    pub(crate) fn spec(&self) -> &WorkloadSpec {
        &self.spec
    }

    /// The containers that a pod has now; those that stay are held open as they are.
    pub(crate) fn set_containers(&mut self, tree: &CgroupTree, now: &[(CgroupPath, CgroupId)]) {
        let mut open = self.containers.take().unwrap_or_default();
        open.retain(|held| now.iter().any(|(_, id)| *id == held.id()));
        for (path, id) in now {
            if open.iter().any(|held| held.id() == *id) {
                continue;
            }
            // One that is gone already will not be among the next ones.
            open.extend(tree.cgroup(path).ok());
        }
        self.containers = Some(open);
    }

    pub(crate) fn cgroup_id(&self) -> CgroupId {
        self.cgroup.id()
    }

    /// One reading; `Absent` when the group is gone.
    pub(crate) fn read(
        &mut self,
        at: Timestamp,
        slot: SlotId,
    ) -> Result<WorkloadSample, ReadError> {
        // The one file every cgroup has: absent means that the group is gone.
        let populated = self.cgroup.events()?.populated;
        let mut errors = Errors::default();
        let seldom = self.seldom_at == Timestamp(0) || at.since(self.seldom_at) >= SELDOM;
        if seldom {
            self.read_seldom(at);
        } else {
            self.read_planned(&mut errors);
        }
        let cpu_stat = errors.noting(self.cgroup.cpu_stat());
        let cpu_pressure = errors.noting(self.cgroup.pressure(PressureOf::Cpu));
        Ok(WorkloadSample {
            spec: self.spec.clone(),
            cgroup: self.cgroup.path().clone(),
            cgroup_id: self.cgroup.id(),
            slot,
            at,
            populated,
            cpu_stat,
            cpu_pressure,
            memory_current: self.memory,
            seldom: Arc::clone(&self.seldom),
            knobs: self.knobs,
            containers: self
                .containers
                .as_ref()
                .map(|open| open.iter().filter_map(container).collect()),
            errors: self.seldom_errors.iter().cloned().chain(errors.0).collect(),
        })
    }

    /// Every knob, memory, and what went to and came from disks.
    fn read_seldom(&mut self, at: Timestamp) {
        let mut errors = Errors::default();
        self.knobs = Knobs { seldom_at: Some(at), ..Knobs::default() };
        for knob in Knob::ALL {
            self.read_knob(knob, &mut errors);
        }
        self.knobs.cpuset_effective = errors.noting(self.cgroup.cpuset_effective());
        self.memory = errors.noting(self.cgroup.memory_current());
        self.seldom = Arc::new(SeldomSample {
            memory_stat: renewed(&self.seldom.memory_stat, at, self.cgroup.memory_stat()),
            numa_stat: self.numa_stat(at),
            io_stat: renewed(&self.seldom.io_stat, at, self.cgroup.io_stat()),
            io_stat_before: self.seldom.io_stat.latest.clone(),
        });
        self.seldom_errors = errors.0;
        self.seldom_at = Timestamp(at.0.saturating_sub(std::mem::take(&mut self.sooner).0));
    }

    /// Read for reclaimed work, which is bounded by what it has on each node. The file itself says
    /// how many nodes there are, and where it is one `memory.current` says it all.
    fn numa_stat(&self, at: Timestamp) -> Source<NodeUses> {
        let last = &self.seldom.numa_stat;
        let has_one_node = last.value().is_some_and(|nodes| nodes.len() == 1);
        if has_one_node || !self.spec.qos.is_reclaimed() {
            return last.clone();
        }
        renewed(last, at, self.cgroup.memory_numa_stat())
    }

    /// The knobs that a Plan writes for this workload: what stands there now is compared with what
    /// should. The kernel's own idea of the cpuset follows the one that was written.
    fn read_planned(&mut self, errors: &mut Errors) {
        let before = self.knobs;
        self.knobs = Knobs {
            cpuset_effective: before.cpuset_effective,
            seldom_at: before.seldom_at,
            ..Knobs::default()
        };
        for knob in Knob::ALL {
            let planned = knob == Knob::CpusetCpus || self.spec.qos.is_reclaimed();
            if planned && !knob.is_seldom_read() {
                self.read_knob(knob, errors);
            } else if let Some(value) = before.get(knob) {
                self.knobs.record(value);
            }
        }
        if self.knobs.cpuset_cpus != before.cpuset_cpus {
            self.knobs.cpuset_effective = errors.noting(self.cgroup.cpuset_effective());
        }
    }

    fn read_knob(&mut self, knob: Knob, errors: &mut Errors) {
        if let Some(value) = errors.noting(read_knob(&self.cgroup, knob)) {
            self.knobs.record(value);
        }
    }
}

/// A container's cpuset; `None` of one that has ended.
fn container(cgroup: &Cgroup) -> Option<ContainerSample> {
    let mut knobs = Knobs::default();
    for knob in [Knob::CpusetCpus, Knob::CpusetMems] {
        knobs.record(read_knob(cgroup, knob).ok()?);
    }
    Some(ContainerSample { cgroup: cgroup.path().clone(), cgroup_id: cgroup.id(), knobs })
}

/// The new reading, or the last one with the fault.
fn renewed<T: Clone>(last: &Source<T>, at: Timestamp, now: Result<T, ReadError>) -> Source<T> {
    match now {
        Ok(value) => Source { latest: Some(Reading { at, value }), fault: None },
        Err(error) => Source { latest: last.latest.clone(), fault: Some(fault_of(error)) },
    }
}

/// One sentence per file that could not be read. What a kernel does not have, and the weight that
/// an idle group does not show, is ordinary.
#[derive(Debug, Default)]
struct Errors(Vec<String>);

impl Errors {
    fn noting<T>(&mut self, result: Result<T, ReadError>) -> Option<T> {
        result
            .map_err(|error| {
                if !matches!(error, ReadError::Unsupported { .. } | ReadError::Hidden { .. }) {
                    self.0.push(error.to_string());
                }
            })
            .ok()
    }
}

#[cfg(test)]
mod tests;
