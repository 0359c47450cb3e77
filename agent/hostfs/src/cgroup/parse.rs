//! The text of cgroup v2 files as values (Documentation/admin-guide/cgroup-v2.rst). Pure: no file
//! is opened here.

use std::collections::BTreeSet;

use model::knob::{CpuMax, CpuWeight, OomScoreAdj};
use model::sample::{CpuStat, IoStat, MemoryStat, NodeUse, NodeUses};
use model::{Bytes, CpuSet, Micros, NumaNodeId, NumaSet};

use crate::parse::{ParseError, keyed, number, required};

pub use model::knob::MemoryLimit;

/// `cgroup.events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    pub populated: bool,
    /// Missing before kernel 5.2.
    pub frozen: Option<bool>,
}

/// What stands in `cpuset.cpus.partition`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partition {
    Member,
    Root,
    Isolated,
    /// `root invalid (why)`: asked for, and the kernel cannot give it now.
    Invalid {
        why: String,
    },
}

/// One pass: this is read for every workload every second.
pub fn cpu_stat(text: &str) -> Result<CpuStat, ParseError> {
    let [mut usage, mut user, mut system] = [None; 3];
    let [mut nr_periods, mut nr_throttled, mut throttled] = [None; 3];
    for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let slot = match key {
            "usage_usec" => &mut usage,
            "user_usec" => &mut user,
            "system_usec" => &mut system,
            "nr_periods" => &mut nr_periods,
            "nr_throttled" => &mut nr_throttled,
            "throttled_usec" => &mut throttled,
            _ => continue,
        };
        *slot = Some(number(value.trim())?);
    }
    let required = |value: Option<u64>, key| value.ok_or_else(|| ParseError::new(text, key));
    Ok(CpuStat {
        usage: Micros(required(usage, "usage_usec")?),
        user: Micros(required(user, "user_usec")?),
        system: Micros(required(system, "system_usec")?),
        nr_periods,
        nr_throttled,
        throttled: throttled.map(Micros),
    })
}

/// `cpu.weight`; `None` is the 0 that the kernel shows while `cpu.idle` is 1.
pub fn cpu_weight(text: &str) -> Result<Option<CpuWeight>, ParseError> {
    let malformed = || ParseError::new(text, "a weight of 1 to 10000");
    match crate::parse::single(text)? {
        0 => Ok(None),
        weight => {
            u16::try_from(weight).ok().and_then(CpuWeight::new).map(Some).ok_or_else(malformed)
        }
    }
}

pub fn cpu_max(text: &str) -> Result<CpuMax, ParseError> {
    let malformed = || ParseError::new(text, "`QUOTA PERIOD` or `max PERIOD`");
    let (quota, period) = text.trim_end().split_once(' ').ok_or_else(malformed)?;
    let quota = match quota {
        "max" => None,
        quota => Some(Micros(number(quota)?)),
    };
    Ok(CpuMax { quota, period: Micros(number(period)?) })
}

/// A CPU list; an empty file is the empty set ("inherit" in `cpuset.cpus`).
pub fn cpus(text: &str) -> Result<CpuSet, ParseError> {
    text.parse().map_err(|_error| ParseError::new(text, "a CPU list of CPUs below 1024"))
}

/// A list of memory nodes in the same format; an empty file is "inherit" in `cpuset.mems`.
pub fn mems(text: &str) -> Result<NumaSet, ParseError> {
    NumaSet::parse(text.trim_end())
        .ok_or_else(|| ParseError::new(text, "a list of memory nodes below 64"))
}

/// `/proc/PID/oom_score_adj`.
pub fn oom_score_adj(text: &str) -> Result<OomScoreAdj, ParseError> {
    let score = text.trim_end().parse().ok().and_then(OomScoreAdj::new);
    score.ok_or_else(|| ParseError::new(text, "a score of -1000 to 1000"))
}

pub fn partition(text: &str) -> Result<Partition, ParseError> {
    match text.trim() {
        "member" => Ok(Partition::Member),
        "root" => Ok(Partition::Root),
        "isolated" => Ok(Partition::Isolated),
        other => match other.split_once(" invalid") {
            Some(("root" | "isolated", why)) => Ok(Partition::Invalid {
                why: why.trim().trim_start_matches('(').trim_end_matches(')').to_owned(),
            }),
            _ => Err(ParseError::new(other, "member, root, isolated or `root invalid (why)`")),
        },
    }
}

pub fn memory_limit(text: &str) -> Result<MemoryLimit, ParseError> {
    match text.trim() {
        "max" => Ok(MemoryLimit::Max),
        bytes => number(bytes).map(|bytes| MemoryLimit::Bytes(Bytes(bytes))),
    }
}

pub fn memory_stat(text: &str) -> Result<MemoryStat, ParseError> {
    let mut stat = MemoryStat::default();
    for line in text.lines() {
        let (key, value) =
            line.split_once(' ').ok_or_else(|| ParseError::new(line, "a `key value` line"))?;
        let slot = match key {
            "anon" => &mut stat.anon,
            "file" => &mut stat.file,
            "kernel" => &mut stat.kernel,
            "shmem" => &mut stat.shmem,
            "slab" => &mut stat.slab,
            "inactive_file" => &mut stat.inactive_file,
            "active_file" => &mut stat.active_file,
            key => {
                if let Some(slot) = count_slot(&mut stat, key) {
                    *slot = Some(number(value)?);
                }
                continue;
            }
        };
        *slot = Some(Bytes(number(value)?));
    }
    Ok(stat)
}

fn count_slot<'a>(stat: &'a mut MemoryStat, key: &str) -> Option<&'a mut Option<u64>> {
    match key {
        "pgfault" => Some(&mut stat.pgfault),
        "pgmajfault" => Some(&mut stat.pgmajfault),
        "workingset_refault_anon" => Some(&mut stat.workingset_refault_anon),
        "workingset_refault_file" => Some(&mut stat.workingset_refault_file),
        _ => None,
    }
}

/// `anon N0=4096 N1=0`, one line per kind; kinds that are parts of others (`shmem` of `file`) or no
/// bytes (`workingset_*`) are passed over. More than 64 nodes are refused, so the result is bounded.
pub fn memory_numa_stat(text: &str) -> Result<NodeUses, ParseError> {
    let mut nodes = NodeUses::new();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(field_of) = fields.next().and_then(node_field) else { continue };
        for field in fields {
            let (node, bytes) = node_bytes(field)?;
            let sum = field_of(nodes.entry(node).or_default());
            sum.0 = sum.0.saturating_add(bytes);
        }
    }
    Ok(nodes)
}

/// Where bytes of a kind count.
fn node_field(kind: &str) -> Option<fn(&mut NodeUse) -> &mut Bytes> {
    match kind {
        "anon" => Some(|node| &mut node.anon),
        "file" => Some(|node| &mut node.file),
        "kernel_stack" | "pagetables" | "sec_pagetables" | "slab_reclaimable"
        | "slab_unreclaimable" => Some(|node| &mut node.kernel),
        _ => None,
    }
}

fn node_bytes(field: &str) -> Result<(NumaNodeId, u64), ParseError> {
    let malformed = || ParseError::new(field, "`N<node>=<bytes>` of a node below 64");
    let (node, bytes) =
        field.strip_prefix('N').and_then(|field| field.split_once('=')).ok_or_else(malformed)?;
    let node = u16::try_from(number(node)?).map_err(|_big| malformed())?;
    let fits = { NumaSet::EMPTY }.insert(NumaNodeId(node));
    if fits { Ok((NumaNodeId(node), number(bytes)?)) } else { Err(malformed()) }
}

pub fn events(text: &str) -> Result<Events, ParseError> {
    Ok(Events {
        populated: required(text, "populated")? == 1,
        frozen: keyed(text, "frozen")?.map(|frozen| frozen == 1),
    })
}

/// Process ids; 0 is a process outside our pid namespace.
pub fn procs(text: &str) -> Result<Vec<u32>, ParseError> {
    let pid = |line: &str| {
        u32::try_from(number(line)?).map_err(|_big| ParseError::new(line, "a process id"))
    };
    text.lines().map(pid).collect()
}

/// Controller names, as in `cgroup.controllers` and `cgroup.subtree_control`.
pub fn controllers(text: &str) -> Result<BTreeSet<String>, ParseError> {
    let name = |name: &str| match name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        true => Ok(name.to_owned()),
        false => Err(ParseError::new(name, "a controller's name")),
    };
    text.split_ascii_whitespace().map(name).collect()
}

/// One row per device; the kernel may print a device with no values.
pub fn io_stat(text: &str) -> Result<Vec<IoStat>, ParseError> {
    text.lines().map(io_line).collect()
}

fn io_line(line: &str) -> Result<IoStat, ParseError> {
    let malformed = || ParseError::new(line, "`MAJOR:MINOR key=value ..`");
    let mut fields = line.split_ascii_whitespace();
    let device = fields.next().ok_or_else(malformed)?;
    let (major, minor) = device.split_once(':').ok_or_else(malformed)?;
    let narrow = |text| u32::try_from(number(text)?).map_err(|_big| malformed());
    let mut stat = IoStat { major: narrow(major)?, minor: narrow(minor)?, ..IoStat::default() };
    for field in fields {
        let (key, value) = field.split_once('=').ok_or_else(malformed)?;
        match key {
            "rbytes" => stat.read = Bytes(number(value)?),
            "wbytes" => stat.written = Bytes(number(value)?),
            "rios" => stat.n_reads = number(value)?,
            "wios" => stat.n_writes = number(value)?,
            _ => {}
        }
    }
    Ok(stat)
}

#[cfg(test)]
mod tests;
