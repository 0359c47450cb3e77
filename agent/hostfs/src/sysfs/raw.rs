//! What sysfs says about the machine, file by file, with nothing concluded from it. A file that
//! this kernel lacks is `None`; a file with nonsense in it is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::{Bytes, CpuId, CpuSet, NumaNodeId};

use crate::error::ReadError;
use crate::file::read_path;
use crate::parse::{ParseError, flag, number, single};
use crate::root::HostRoot;
use crate::sysfs::parse;

/// Everything that is read, uninterpreted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawMachine {
    pub(crate) cpus: BTreeMap<CpuId, RawCpu>,
    /// `cpu/online`; old kernels have no such list.
    pub(crate) online: Option<CpuSet>,
    pub(crate) present: Option<CpuSet>,
    /// `cpu_atom/cpus`, the PMU of Intel's efficiency cores: only hybrid machines have it.
    pub(crate) efficiency: Option<CpuSet>,
    pub(crate) nodes: BTreeMap<NumaNodeId, RawNode>,
    pub(crate) nodes_online: Option<BTreeSet<NumaNodeId>>,
    pub(crate) nodes_possible: Option<BTreeSet<NumaNodeId>>,
    /// Of the whole machine.
    pub(crate) memory: Option<Bytes>,
}

/// One `cpuN` directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawCpu {
    /// Missing for CPUs that cannot be taken offline.
    pub(crate) online: Option<bool>,
    pub(crate) package: Option<u64>,
    pub(crate) core_id: Option<u64>,
    pub(crate) core_siblings: Option<CpuSet>,
    pub(crate) package_siblings: Option<CpuSet>,
    /// `cpufreq/cpuinfo_max_freq`, in kHz.
    pub(crate) max_khz: Option<u64>,
    /// The CPUs under the highest-level data cache.
    pub(crate) llc: Option<CpuSet>,
    /// The `nodeN` link.
    pub(crate) node: Option<NumaNodeId>,
}

/// One `nodeN` directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawNode {
    pub(crate) cpus: CpuSet,
    pub(crate) distances: Vec<u32>,
    pub(crate) memory: Option<Bytes>,
}

pub(crate) fn read(host: &HostRoot) -> Result<RawMachine, ReadError> {
    let cpu_dir = host.sys().join("devices/system/cpu");
    let node_dir = host.sys().join("devices/system/node");
    let mut machine = RawMachine {
        online: optional(&cpu_dir.join("online"), parse::cpu_list)?,
        present: optional(&cpu_dir.join("present"), parse::cpu_list)?,
        efficiency: optional(&host.sys().join("devices/cpu_atom/cpus"), parse::cpu_list)?,
        nodes_online: optional(&node_dir.join("online"), node_list)?,
        nodes_possible: optional(&node_dir.join("possible"), node_list)?,
        memory: optional(&host.proc().join("meminfo"), parse::mem_total)?.flatten(),
        ..RawMachine::default()
    };
    for (id, dir) in numbered(&cpu_dir, "cpu")? {
        machine.cpus.insert(CpuId(id), read_cpu(&dir)?);
    }
    for (id, dir) in numbered(&node_dir, "node")? {
        machine.nodes.insert(NumaNodeId(id), read_node(&dir)?);
    }
    Ok(machine)
}

fn read_cpu(dir: &Path) -> Result<RawCpu, ReadError> {
    let topology = dir.join("topology");
    Ok(RawCpu {
        online: optional(&dir.join("online"), flag)?,
        package: optional(&topology.join("physical_package_id"), parse::package_id)?.flatten(),
        core_id: optional(&topology.join("core_id"), parse::package_id)?.flatten(),
        core_siblings: cpu_set(&topology, "thread_siblings_list", "thread_siblings")?,
        package_siblings: cpu_set(&topology, "core_siblings_list", "core_siblings")?,
        max_khz: optional(&dir.join("cpufreq/cpuinfo_max_freq"), single)?,
        llc: read_llc(&dir.join("cache"))?,
        node: numbered(dir, "node")?.first().map(|(id, _dir)| NumaNodeId(*id)),
    })
}

/// The cache with the highest level that holds data. The index order means nothing.
fn read_llc(dir: &Path) -> Result<Option<CpuSet>, ReadError> {
    let mut highest: Option<(u64, CpuSet)> = None;
    for (_index, cache) in numbered(dir, "index")? {
        let Some(level) = optional(&cache.join("level"), single)? else { continue };
        let kind = optional(&cache.join("type"), |text| Ok(text.trim().to_owned()))?;
        if kind.as_deref() == Some("Instruction")
            || highest.is_some_and(|(known, _cpus)| known >= level)
        {
            continue;
        }
        if let Some(shared) = cpu_set(&cache, "shared_cpu_list", "shared_cpu_map")? {
            highest = Some((level, shared));
        }
    }
    Ok(highest.map(|(_level, cpus)| cpus))
}

fn read_node(dir: &Path) -> Result<RawNode, ReadError> {
    Ok(RawNode {
        cpus: cpu_set(dir, "cpulist", "cpumap")?.unwrap_or_default(),
        distances: optional(&dir.join("distance"), parse::distances)?.unwrap_or_default(),
        memory: optional(&dir.join("meminfo"), parse::mem_total)?.flatten(),
    })
}

/// A set of CPUs, as list where there is one, else as mask.
fn cpu_set(dir: &Path, list: &str, mask: &str) -> Result<Option<CpuSet>, ReadError> {
    match optional(&dir.join(list), parse::cpu_list)? {
        Some(set) => Ok(Some(set)),
        None => optional(&dir.join(mask), parse::cpu_mask),
    }
}

fn node_list(text: &str) -> Result<BTreeSet<NumaNodeId>, ParseError> {
    Ok(parse::cpu_list(text)?.iter().map(|id| NumaNodeId(id.0)).collect())
}

/// Reads a file that may be missing.
fn optional<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Result<Option<T>, ReadError> {
    match read_path(path, parse) {
        Ok(value) => Ok(Some(value)),
        Err(ReadError::Absent { .. } | ReadError::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The entries `PREFIXn` of a directory with their number, in order; none when there is no such
/// directory. `cpufreq` and `cpuidle` are not numbers and are left out.
pub(crate) fn numbered(dir: &Path, prefix: &str) -> Result<Vec<(u16, PathBuf)>, ReadError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| ReadError::Refused { path: dir.to_path_buf(), source })?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry =
            entry.map_err(|source| ReadError::Refused { path: dir.to_path_buf(), source })?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_prefix(prefix)) else { continue };
        let Ok(id) = number(id) else { continue };
        let id = u16::try_from(id).map_err(|_big| ReadError::Malformed {
            path: entry.path(),
            value: id.to_string(),
            expected: "an id below 65536",
        })?;
        found.push((id, entry.path()));
    }
    found.sort_unstable();
    Ok(found)
}
