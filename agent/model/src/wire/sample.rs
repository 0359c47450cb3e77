//! Wire form of a Sample. Counters that come in rows stand in arrays and histograms without their
//! empty buckets, because a recording holds one Sample per second.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::container::{self, Containers};
use super::snapshot::{
    Causes, Fault, NodeMemory, Pressure, Topology, given, given_text, spec, wish,
};
use super::{Knobs, WireError, Wish, bad};
use crate::histogram::{Histogram, N_BUCKETS};
use crate::qos::{CgroupPath, WorkloadName};
use crate::sample as inner;
use crate::units::{Bytes, CgroupId, CpuId, Micros, Nanos, NumaNodeId, SlotId, Timestamp};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    at_ns: u64,
    topology: Source<Topology>,
    host: Source<Host>,
    workloads: Source<BTreeMap<String, Workload>>,
    probe: Source<Probe>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Source<T> {
    latest: Option<Reading<T>>,
    fault: Option<Fault>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reading<T> {
    at_ns: u64,
    value: T,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Host {
    /// user, nice, system, idle, iowait, irq, softirq, steal in microseconds.
    cpus_us: BTreeMap<u16, [u64; 8]>,
    cpu_pressure: Option<Pressure>,
    memory_total_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    #[serde(default)]
    memory: BTreeMap<u16, NodeMemory>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Workload {
    qos: String,
    request_milli: u64,
    memory_request_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wish: Option<Wish>,
    target_p99_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given_cpus: Option<String>,
    cgroup: String,
    cgroup_id: u64,
    slot: u16,
    at_ns: u64,
    populated: bool,
    /// usage, user, system in microseconds; nr_periods, nr_throttled; throttled in microseconds.
    cpu_stat: Option<[Option<u64>; 6]>,
    cpu_pressure: Option<Pressure>,
    memory_current_bytes: Option<u64>,
    seldom: Seldom,
    knobs: Knobs,
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Containers,
    errors: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seldom {
    /// anon, file, kernel, shmem, slab, inactive_file, active_file in bytes; pgfault, pgmajfault,
    /// workingset_refault_anon, workingset_refault_file.
    memory_stat: Source<[Option<u64>; 11]>,
    /// anon, file and kernel in bytes by node; absent in recordings from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    numa_stat: Option<Source<BTreeMap<u16, [u64; 3]>>>,
    io_stat: Source<Vec<IoRow>>,
    io_stat_before: Option<Reading<Vec<IoRow>>>,
}

/// major, minor, read and written bytes, number of reads and writes.
type IoRow = (u32, u32, u64, u64, u64, u64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Probe {
    slots: BTreeMap<u16, Slot>,
    lost_records: u64,
    events: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    /// Counts by power of two of nanoseconds.
    waits: BTreeMap<u8, u64>,
    on_cpu_ns: u64,
    causes: Causes,
}

fn source<T, U>(from: &inner::Source<T>, value: impl FnOnce(&T) -> U) -> Source<U> {
    let latest = from.latest.as_ref();
    Source {
        latest: latest.map(|read| Reading { at_ns: read.at.0, value: value(&read.value) }),
        fault: from.fault.as_ref().map(Fault::from),
    }
}

fn inner_source<T, U>(
    from: Source<T>,
    value: impl FnOnce(T) -> Result<U, WireError>,
) -> Result<inner::Source<U>, WireError> {
    let latest = match from.latest {
        Some(read) => Some(inner::Reading { at: Timestamp(read.at_ns), value: value(read.value)? }),
        None => None,
    };
    Ok(inner::Source { latest, fault: from.fault.map(Into::into) })
}

impl From<&inner::Sample> for Sample {
    fn from(sample: &inner::Sample) -> Sample {
        Sample {
            at_ns: sample.at.0,
            topology: source(&sample.topology, |topology| Topology::from(&**topology)),
            host: source(&sample.host, |host| Host::from(host)),
            workloads: source(&sample.workloads, |workloads| {
                workloads.iter().map(|(name, w)| (name.to_string(), w.into())).collect()
            }),
            probe: source(&sample.probe, |probe| Probe::from(probe)),
        }
    }
}

impl TryFrom<Sample> for inner::Sample {
    type Error = WireError;

    fn try_from(sample: Sample) -> Result<inner::Sample, WireError> {
        let workloads = |workloads: BTreeMap<String, Workload>| {
            let rows = workloads.into_iter();
            rows.map(|(name, w)| Ok((WorkloadName::new(name), w.try_into()?))).collect()
        };
        Ok(inner::Sample {
            at: Timestamp(sample.at_ns),
            topology: inner_source(sample.topology, |t| Ok(Arc::new(t.try_into()?)))?,
            host: inner_source(sample.host, |host| Ok(host.into()))?,
            workloads: inner_source(sample.workloads, workloads)?,
            probe: inner_source(sample.probe, inner::ProbeSample::try_from)?,
        })
    }
}

impl From<&inner::HostSample> for Host {
    fn from(host: &inner::HostSample) -> Host {
        let times = |t: &inner::CpuTimes| {
            [t.user, t.nice, t.system, t.idle, t.iowait, t.irq, t.softirq, t.steal].map(|us| us.0)
        };
        Host {
            cpus_us: host.cpus.iter().map(|(cpu, t)| (cpu.0, times(t))).collect(),
            cpu_pressure: host.cpu_pressure.as_ref().map(Pressure::from),
            memory_total_bytes: host.memory_total.map(|bytes| bytes.0),
            memory_available_bytes: host.memory_available.map(|bytes| bytes.0),
            memory: host.memory.iter().map(|(id, node)| (id.0, node.into())).collect(),
        }
    }
}

impl From<Host> for inner::HostSample {
    fn from(host: Host) -> inner::HostSample {
        let times = |row: [u64; 8]| {
            let [user, nice, system, idle, iowait, irq, softirq, steal] = row.map(Micros);
            inner::CpuTimes { user, nice, system, idle, iowait, irq, softirq, steal }
        };
        inner::HostSample {
            cpus: host.cpus_us.into_iter().map(|(cpu, row)| (CpuId(cpu), times(row))).collect(),
            cpu_pressure: host.cpu_pressure.map(Into::into),
            memory_total: host.memory_total_bytes.map(Bytes),
            memory_available: host.memory_available_bytes.map(Bytes),
            memory: host.memory.into_iter().map(|(id, it)| (NumaNodeId(id), it.into())).collect(),
        }
    }
}

impl From<&inner::WorkloadSample> for Workload {
    fn from(w: &inner::WorkloadSample) -> Workload {
        Workload {
            qos: w.spec.qos.to_string(),
            request_milli: w.spec.request.0,
            memory_request_bytes: w.spec.memory_request.0,
            wish: wish(&w.spec),
            target_p99_us: w.spec.target_p99.map(|target| target.0),
            given_cpus: given_text(&w.spec),
            cgroup: w.cgroup.to_string(),
            cgroup_id: w.cgroup_id.0,
            slot: w.slot.0,
            at_ns: w.at.0,
            populated: w.populated,
            cpu_stat: w.cpu_stat.as_ref().map(cpu_row),
            cpu_pressure: w.cpu_pressure.as_ref().map(Pressure::from),
            memory_current_bytes: w.memory_current.map(|bytes| bytes.0),
            seldom: Seldom::from(&*w.seldom),
            knobs: Knobs::from(&w.knobs),
            containers: container::written(&w.containers),
            errors: w.errors.clone(),
        }
    }
}

impl TryFrom<Workload> for inner::WorkloadSample {
    type Error = WireError;

    fn try_from(w: Workload) -> Result<inner::WorkloadSample, WireError> {
        Ok(inner::WorkloadSample {
            spec: inner::WorkloadSpec {
                given: given(w.given_cpus)?,
                ..spec((&w.qos, w.request_milli, w.memory_request_bytes, w.target_p99_us, w.wish))?
            },
            cgroup: CgroupPath::new(w.cgroup),
            cgroup_id: CgroupId(w.cgroup_id),
            slot: SlotId(w.slot),
            at: Timestamp(w.at_ns),
            populated: w.populated,
            cpu_stat: w.cpu_stat.map(cpu_stat).transpose()?,
            cpu_pressure: w.cpu_pressure.map(Into::into),
            memory_current: w.memory_current_bytes.map(Bytes),
            seldom: Arc::new(w.seldom.try_into()?),
            knobs: w.knobs.try_into()?,
            containers: container::read(w.containers)?,
            errors: w.errors,
        })
    }
}

fn cpu_row(stat: &inner::CpuStat) -> [Option<u64>; 6] {
    let [usage, user, system] = [stat.usage, stat.user, stat.system].map(|us| Some(us.0));
    [usage, user, system, stat.nr_periods, stat.nr_throttled, stat.throttled.map(|us| us.0)]
}

fn cpu_stat(row: [Option<u64>; 6]) -> Result<inner::CpuStat, WireError> {
    let [Some(usage), Some(user), Some(system), nr_periods, nr_throttled, throttled] = row else {
        return Err(bad("cpu_stat", "null"));
    };
    let (usage, user, system) = (Micros(usage), Micros(user), Micros(system));
    let throttled = throttled.map(Micros);
    Ok(inner::CpuStat { usage, user, system, nr_periods, nr_throttled, throttled })
}

impl From<&inner::SeldomSample> for Seldom {
    fn from(seldom: &inner::SeldomSample) -> Seldom {
        let before = seldom.io_stat_before.as_ref();
        Seldom {
            memory_stat: source(&seldom.memory_stat, memory_row),
            numa_stat: (seldom.numa_stat != inner::Source::default())
                .then(|| source(&seldom.numa_stat, node_rows)),
            io_stat: source(&seldom.io_stat, |rows| io_rows(rows)),
            io_stat_before: before
                .map(|read| Reading { at_ns: read.at.0, value: io_rows(&read.value) }),
        }
    }
}

impl TryFrom<Seldom> for inner::SeldomSample {
    type Error = WireError;

    fn try_from(seldom: Seldom) -> Result<inner::SeldomSample, WireError> {
        let before = seldom.io_stat_before;
        Ok(inner::SeldomSample {
            memory_stat: inner_source(seldom.memory_stat, |row| Ok(memory_stat(row)))?,
            numa_stat: match seldom.numa_stat {
                Some(rows) => inner_source(rows, |rows| Ok(node_uses(rows)))?,
                None => inner::Source::default(),
            },
            io_stat: inner_source(seldom.io_stat, |rows| Ok(io_stats(rows)))?,
            io_stat_before: before.map(|read| inner::Reading {
                at: Timestamp(read.at_ns),
                value: io_stats(read.value),
            }),
        })
    }
}

fn memory_row(m: &inner::MemoryStat) -> [Option<u64>; 11] {
    let sizes = [m.anon, m.file, m.kernel, m.shmem, m.slab, m.inactive_file, m.active_file];
    let [anon, file, kernel, shmem, slab, inactive, active] =
        sizes.map(|bytes| bytes.map(|bytes| bytes.0));
    let (anon_refault, file_refault) = (m.workingset_refault_anon, m.workingset_refault_file);
    let (faults, major) = (m.pgfault, m.pgmajfault);
    [anon, file, kernel, shmem, slab, inactive, active, faults, major, anon_refault, file_refault]
}

fn memory_stat(row: [Option<u64>; 11]) -> inner::MemoryStat {
    let bytes = |idx: usize| row[idx].map(Bytes);
    inner::MemoryStat {
        anon: bytes(0),
        file: bytes(1),
        kernel: bytes(2),
        shmem: bytes(3),
        slab: bytes(4),
        inactive_file: bytes(5),
        active_file: bytes(6),
        pgfault: row[7],
        pgmajfault: row[8],
        workingset_refault_anon: row[9],
        workingset_refault_file: row[10],
    }
}

fn node_rows(nodes: &inner::NodeUses) -> BTreeMap<u16, [u64; 3]> {
    let row = |used: &inner::NodeUse| [used.anon.0, used.file.0, used.kernel.0];
    nodes.iter().map(|(id, used)| (id.0, row(used))).collect()
}

fn node_uses(rows: BTreeMap<u16, [u64; 3]>) -> inner::NodeUses {
    let used = |[anon, file, kernel]: [u64; 3]| inner::NodeUse {
        anon: Bytes(anon),
        file: Bytes(file),
        kernel: Bytes(kernel),
    };
    rows.into_iter().map(|(id, row)| (NumaNodeId(id), used(row))).collect()
}

fn io_rows(rows: &[inner::IoStat]) -> Vec<IoRow> {
    let row =
        |io: &inner::IoStat| (io.major, io.minor, io.read.0, io.written.0, io.n_reads, io.n_writes);
    rows.iter().map(row).collect()
}

fn io_stats(rows: Vec<IoRow>) -> Vec<inner::IoStat> {
    let stat = |(major, minor, read, written, n_reads, n_writes): IoRow| {
        let (read, written) = (Bytes(read), Bytes(written));
        inner::IoStat { major, minor, read, written, n_reads, n_writes }
    };
    rows.into_iter().map(stat).collect()
}

impl From<&inner::ProbeSample> for Probe {
    fn from(probe: &inner::ProbeSample) -> Probe {
        let slots = probe.slots.iter().map(|(id, slot)| (id.0, Slot::from(slot)));
        Probe { slots: slots.collect(), lost_records: probe.lost_records, events: probe.events }
    }
}

impl TryFrom<Probe> for inner::ProbeSample {
    type Error = WireError;

    fn try_from(probe: Probe) -> Result<inner::ProbeSample, WireError> {
        let mut slots = BTreeMap::new();
        for (id, slot) in probe.slots {
            slots.insert(SlotId(id), slot.try_into()?);
        }
        let Probe { lost_records, events, .. } = probe;
        Ok(inner::ProbeSample { slots, lost_records, events })
    }
}

impl From<&inner::SlotSample> for Slot {
    fn from(slot: &inner::SlotSample) -> Slot {
        let counts = slot.waits.buckets.iter().zip(0u8..).filter(|(count, _)| **count > 0);
        Slot {
            waits: counts.map(|(count, idx)| (idx, *count)).collect(),
            on_cpu_ns: slot.on_cpu.0,
            causes: Causes::from(&slot.causes),
        }
    }
}

impl TryFrom<Slot> for inner::SlotSample {
    type Error = WireError;

    fn try_from(slot: Slot) -> Result<inner::SlotSample, WireError> {
        let mut waits = Histogram::default();
        for (idx, count) in slot.waits {
            let bucket = waits.buckets.get_mut(usize::from(idx));
            *bucket.ok_or_else(|| bad("waits", format!("bucket {idx} of {N_BUCKETS}")))? = count;
        }
        let on_cpu = Nanos(slot.on_cpu_ns);
        Ok(inner::SlotSample { waits, on_cpu, causes: slot.causes.into() })
    }
}
