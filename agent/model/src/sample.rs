//! Raw readings, as they came from the kernel, with their time and their faults. Knows nothing of
//! rates, quantiles or decisions (`snapshot`, `derive`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cpuset::CpuSet;
use crate::enhancement::Enhancements;
use crate::histogram::Histogram;
use crate::knob::Knobs;
use crate::measured::NodeMemory;
use crate::qos::{CgroupPath, PodUid, QosLevel, WorkloadName};
use crate::topology::Topology;
use crate::units::{
    Bytes, CgroupId, CpuId, Micros, MilliCpu, Nanos, NumaNodeId, SlotId, Timestamp,
};

/// A value and when it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading<T> {
    pub at: Timestamp,
    pub value: T,
}

/// Why a source gives nothing new. Stale is not here: it is the age of `Source::latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceFault {
    /// The thing does not exist on this host (no cgroup v2 mount, no such directory).
    Absent { what: String },
    /// The kernel or the build cannot do it (no BTF, PSI compiled out).
    Unsupported { why: String },
    /// It should work and does not.
    Broken { error: String },
}

/// The newest good reading of a source, kept through faults, and the fault if there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Source<T> {
    pub latest: Option<Reading<T>>,
    pub fault: Option<SourceFault>,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Source { latest: None, fault: None }
    }
}

impl<T> Source<T> {
    pub fn fresh(at: Timestamp, value: T) -> Source<T> {
        Source { latest: Some(Reading { at, value }), fault: None }
    }

    pub fn value(&self) -> Option<&T> {
        self.latest.as_ref().map(|reading| &reading.value)
    }

    /// Age of the newest good reading; `None` when there never was one.
    pub fn age(&self, now: Timestamp) -> Option<Nanos> {
        self.latest.as_ref().map(|reading| now.since(reading.at))
    }
}

/// Everything the collector knows at one turn of the loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub at: Timestamp,
    pub topology: Source<Arc<Topology>>,
    pub host: Source<HostSample>,
    pub workloads: Source<BTreeMap<WorkloadName, WorkloadSample>>,
    pub probe: Source<ProbeSample>,
}

/// `/proc/stat`, `/proc/meminfo`, `/proc/pressure`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostSample {
    pub cpus: BTreeMap<CpuId, CpuTimes>,
    pub cpu_pressure: Option<Pressure>,
    pub memory_total: Option<Bytes>,
    pub memory_available: Option<Bytes>,
    /// Of each NUMA node, up to some seconds older than the rest.
    pub memory: BTreeMap<NumaNodeId, NodeMemory>,
}

/// One `cpuN` line of `/proc/stat`, cumulative, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    pub user: Micros,
    pub nice: Micros,
    pub system: Micros,
    pub idle: Micros,
    pub iowait: Micros,
    pub irq: Micros,
    pub softirq: Micros,
    pub steal: Micros,
}

/// One PSI file (Documentation/accounting/psi.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    pub some: PressureLine,
    /// Absent for cpu at the root on older kernels.
    pub full: Option<PressureLine>,
}

/// Averages are percent of wall time, `total` is cumulative stall time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PressureLine {
    pub avg10_pct: f64,
    pub avg60_pct: f64,
    pub avg300_pct: f64,
    pub total: Micros,
}

/// `cpu.stat` of one cgroup, cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    pub usage: Micros,
    pub user: Micros,
    pub system: Micros,
    /// The next three exist only where the cpu controller is on.
    pub nr_periods: Option<u64>,
    pub nr_throttled: Option<u64>,
    pub throttled: Option<Micros>,
}

/// The rows of `memory.stat` that somebody reads; a row this kernel lacks is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStat {
    pub anon: Option<Bytes>,
    pub file: Option<Bytes>,
    pub kernel: Option<Bytes>,
    pub shmem: Option<Bytes>,
    pub slab: Option<Bytes>,
    pub inactive_file: Option<Bytes>,
    pub active_file: Option<Bytes>,
    pub pgfault: Option<u64>,
    pub pgmajfault: Option<u64>,
    pub workingset_refault_anon: Option<u64>,
    pub workingset_refault_file: Option<u64>,
}

/// What a group has on one NUMA node, from `memory.numa_stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeUse {
    pub anon: Bytes,
    /// `shmem` included.
    pub file: Bytes,
    /// Slab, page tables and stacks.
    pub kernel: Bytes,
}

impl NodeUse {
    pub fn total(&self) -> Bytes {
        Bytes(self.anon.0.saturating_add(self.file.0).saturating_add(self.kernel.0))
    }
}

pub type NodeUses = BTreeMap<NumaNodeId, NodeUse>;

/// One device of `io.stat`, cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStat {
    pub major: u32,
    pub minor: u32,
    pub read: Bytes,
    pub written: Bytes,
    pub n_reads: u64,
    pub n_writes: u64,
}

/// What is only shown and costs the kernel a flush, so it is read seldom: sources of their own, with
/// their own age and fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeldomSample {
    pub memory_stat: Source<MemoryStat>,
    /// Of reclaimed work; where there is one node only the first reading stays.
    pub numa_stat: Source<NodeUses>,
    pub io_stat: Source<Vec<IoStat>>,
    /// The reading before, for a rate: two Samples in a row mostly carry the same one.
    pub io_stat_before: Option<Reading<Vec<IoStat>>>,
}

/// What an operator (or, later, a pod) says about a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadSpec {
    pub qos: QosLevel,
    /// What it asked for; zero for most reclaimed work.
    pub request: MilliCpu,
    pub memory_request: Bytes,
    /// The run-queue wait its p99 should stay under; `None` takes the policy's default.
    pub target_p99: Option<Micros>,
    /// CPUs that somebody else gave it for itself: a kubelet whose CPU manager is `static`.
    pub given: Option<CpuSet>,
    /// What it wishes beyond its level. Shared: a Sample has one per workload and second.
    pub wish: Arc<Enhancements>,
}

impl WorkloadSpec {
    /// A workload that wishes nothing beyond its level.
    pub fn plain(qos: QosLevel, request: MilliCpu) -> WorkloadSpec {
        let wish = Arc::new(Enhancements::none(qos));
        WorkloadSpec { qos, request, memory_request: Bytes(0), target_p99: None, given: None, wish }
    }
}

/// A pod as somebody who knows pods tells of it: where its cgroups are or will be, and what it asks
/// for.
#[derive(Clone, Debug, PartialEq)]
pub struct PodOnNode {
    pub uid: PodUid,
    pub name: WorkloadName,
    /// Below the managed root, as those of its containers.
    pub cgroup: CgroupPath,
    /// Those that run.
    pub containers: Vec<CgroupPath>,
    pub spec: WorkloadSpec,
}

/// A container of a pod: a cgroup below the pod's. Its cpuset is the runtime's, who is asked to
/// change it; everything else of a pod stands in the pod's own cgroup.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerSample {
    pub cgroup: CgroupPath,
    pub cgroup_id: CgroupId,
    /// Of its cpuset only.
    pub knobs: Knobs,
}

/// The containers of a pod that have a cgroup; `None` of a workload that is no pod, which has its
/// cpuset itself.
pub type Containers = Option<Arc<[ContainerSample]>>;

/// One cgroup that is a workload, with everything read from its directory.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadSample {
    pub spec: WorkloadSpec,
    pub cgroup: CgroupPath,
    pub cgroup_id: CgroupId,
    pub slot: SlotId,
    pub at: Timestamp,
    /// From `cgroup.events`.
    pub populated: bool,
    pub cpu_stat: Option<CpuStat>,
    pub cpu_pressure: Option<Pressure>,
    pub memory_current: Option<Bytes>,
    /// Shared: most Samples in a row carry the same one.
    pub seldom: Arc<SeldomSample>,
    pub knobs: Knobs,
    pub containers: Containers,
    /// One sentence per file that could not be read.
    pub errors: Vec<String>,
}

/// What the BPF maps held at one time; all counters are cumulative since the probe was loaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeSample {
    pub slots: BTreeMap<SlotId, SlotSample>,
    /// Ring-buffer records that did not fit.
    pub lost_records: u64,
    /// Context switches that BPF saw on all CPUs; standing still, the programs are not attached.
    pub events: u64,
}

/// One tracked workload in the BPF maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlotSample {
    /// Run-queue waits, own throttling excluded.
    pub waits: Histogram,
    pub on_cpu: Nanos,
    pub causes: WaitCauses,
}

/// Where the waited time of one victim went. The parts sum to `total`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitCauses {
    pub total: Nanos,
    /// Time other tracked workloads ran on the CPU the victim waited for.
    pub by_offender: BTreeMap<SlotId, Nanos>,
    /// Runnable but throttled by the victim's own `cpu.max`.
    pub own_throttle: Nanos,
    /// The victim's own group ran: its pool is too small, nobody else's fault.
    pub own_group: Nanos,
    /// The CPU was idle, stolen by the hypervisor, or handling interrupts.
    pub idle_or_steal: Nanos,
    /// Tasks of no tracked workload ran.
    pub untracked: Nanos,
    /// The bounded walk back ended before the wait's start.
    pub unknown: Nanos,
}

/// A ring-buffer record: a victim began to wait longer than its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    pub victim: SlotId,
    pub cpu: CpuId,
    /// When the first over-threshold wait of this burst was seen, kernel clock.
    pub first_wait_at: Timestamp,
    pub wait: Nanos,
    /// Who ran on the CPU for most of the wait; untracked when nobody we know.
    pub offender: SlotId,
}
