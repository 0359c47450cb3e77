//! Reading the files of one cgroup as values. Each function is one file; `read_knobs` is all the
//! files that a Plan writes.

use std::collections::BTreeSet;

use model::knob::{CpuWeight, Knob, KnobValue, Knobs};
use model::sample::{CpuStat, IoStat, MemoryStat, NodeUses, Pressure};
use model::{Bytes, CpuSet, Micros, NumaSet};

use crate::cgroup::dir::{Cgroup, CgroupFile};
use crate::cgroup::parse::{self, Events, MemoryLimit, Partition};
use crate::error::ReadError;
use crate::parse::{flag, single};
use crate::psi::parse_pressure;

/// Reads the file of one knob.
pub fn read_knob(cgroup: &Cgroup, knob: Knob) -> Result<KnobValue, ReadError> {
    match knob {
        Knob::CpuIdle => cgroup.cpu_idle().map(KnobValue::CpuIdle),
        Knob::CpuWeight => cgroup.cpu_weight().map(KnobValue::CpuWeight),
        Knob::CpuMax => cgroup.read(CgroupFile::CpuMax, parse::cpu_max).map(KnobValue::CpuMax),
        Knob::CpuMaxBurst => {
            cgroup.read(CgroupFile::CpuMaxBurst, single).map(Micros).map(KnobValue::CpuMaxBurst)
        }
        Knob::CpusetCpus => cgroup.cpuset_cpus().map(KnobValue::CpusetCpus),
        Knob::CpusetMems => cgroup.cpuset_mems().map(KnobValue::CpusetMems),
        Knob::MemoryMin => {
            cgroup.read(CgroupFile::MemoryMin, parse::memory_limit).map(KnobValue::MemoryMin)
        }
        Knob::MemoryLow => {
            cgroup.read(CgroupFile::MemoryLow, parse::memory_limit).map(KnobValue::MemoryLow)
        }
        Knob::MemoryHigh => cgroup.memory_high().map(KnobValue::MemoryHigh),
        Knob::MemoryMax => cgroup.memory_max().map(KnobValue::MemoryMax),
        Knob::OomScoreAdj => cgroup.leading_oom_scores().map(KnobValue::OomScoreAdj),
    }
}

/// Reads every knob; what cannot be read is `None`.
pub fn read_knobs(cgroup: &Cgroup) -> Knobs {
    read_knobs_noting(cgroup, &mut Vec::new())
}

/// Reads every knob and notes what could not be read. `Hidden` and `Unsupported` are ordinary:
/// an idle group shows no weight, a group without the cpuset controller has no cpuset.
pub fn read_knobs_noting(cgroup: &Cgroup, errors: &mut Vec<ReadError>) -> Knobs {
    let mut knobs = Knobs::default();
    for knob in Knob::ALL {
        match read_knob(cgroup, knob) {
            Ok(value) => knobs.record(value),
            Err(error) => errors.push(error),
        }
    }
    match cgroup.cpuset_effective() {
        Ok(cpus) => knobs.cpuset_effective = Some(cpus),
        Err(error) => errors.push(error),
    }
    knobs
}

/// A pressure file of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PressureOf {
    Cpu,
    Memory,
    Io,
}

impl PressureOf {
    pub const fn file(self) -> CgroupFile {
        match self {
            PressureOf::Cpu => CgroupFile::CpuPressure,
            PressureOf::Memory => CgroupFile::MemoryPressure,
            PressureOf::Io => CgroupFile::IoPressure,
        }
    }
}

impl Cgroup {
    pub fn cpu_stat(&self) -> Result<CpuStat, ReadError> {
        self.read(CgroupFile::CpuStat, parse::cpu_stat)
    }

    pub fn cpu_idle(&self) -> Result<bool, ReadError> {
        self.read(CgroupFile::CpuIdle, flag)
    }

    /// `Hidden` while `cpu.idle` is 1. The file then shows 0 (6.1) or 1 (6.12), so a 1 has to be
    /// asked about.
    pub fn cpu_weight(&self) -> Result<CpuWeight, ReadError> {
        let weight = self.read(CgroupFile::CpuWeight, parse::cpu_weight)?;
        let hidden = |value: u16| ReadError::Hidden {
            path: self.file_path(CgroupFile::CpuWeight),
            value: value.to_string(),
            why: "cpu.idle is 1",
        };
        match weight {
            None => Err(hidden(0)),
            Some(CpuWeight::MIN) if matches!(self.cpu_idle(), Ok(true)) => Err(hidden(1)),
            Some(weight) => Ok(weight),
        }
    }

    /// As written; empty means "inherit".
    pub fn cpuset_cpus(&self) -> Result<CpuSet, ReadError> {
        self.read(CgroupFile::CpusetCpus, parse::cpus)
    }

    /// What the kernel made of it.
    pub fn cpuset_effective(&self) -> Result<CpuSet, ReadError> {
        self.read(CgroupFile::CpusetCpusEffective, parse::cpus)
    }

    pub fn cpuset_partition(&self) -> Result<Partition, ReadError> {
        self.read(CgroupFile::CpusetCpusPartition, parse::partition)
    }

    pub fn cpuset_mems(&self) -> Result<NumaSet, ReadError> {
        self.read(CgroupFile::CpusetMems, parse::mems)
    }

    pub fn cpuset_mems_effective(&self) -> Result<NumaSet, ReadError> {
        self.read(CgroupFile::CpusetMemsEffective, parse::mems)
    }

    pub fn memory_current(&self) -> Result<Bytes, ReadError> {
        self.read(CgroupFile::MemoryCurrent, single).map(Bytes)
    }

    pub fn memory_stat(&self) -> Result<MemoryStat, ReadError> {
        self.read(CgroupFile::MemoryStat, parse::memory_stat)
    }

    /// Missing on a kernel without NUMA.
    pub fn memory_numa_stat(&self) -> Result<NodeUses, ReadError> {
        self.read(CgroupFile::MemoryNumaStat, parse::memory_numa_stat)
    }

    pub fn memory_high(&self) -> Result<MemoryLimit, ReadError> {
        self.read(CgroupFile::MemoryHigh, parse::memory_limit)
    }

    pub fn memory_max(&self) -> Result<MemoryLimit, ReadError> {
        self.read(CgroupFile::MemoryMax, parse::memory_limit)
    }

    /// `Unsupported` where PSI is off (no file, or EOPNOTSUPP with `psi=0`).
    pub fn pressure(&self, of: PressureOf) -> Result<Pressure, ReadError> {
        self.read(of.file(), parse_pressure)
    }

    /// `Unsupported` for the threads of a threaded group.
    pub fn procs(&self) -> Result<Vec<u32>, ReadError> {
        self.read(CgroupFile::Procs, parse::procs)
    }

    /// `Unsupported` for the root, which has no such file.
    pub fn events(&self) -> Result<Events, ReadError> {
        self.read(CgroupFile::Events, parse::events)
    }

    /// What was asked for; whether all tasks have stopped is in `events`.
    pub fn freeze_asked(&self) -> Result<bool, ReadError> {
        self.read(CgroupFile::Freeze, flag)
    }

    /// Controllers this cgroup could give to its children.
    pub fn controllers(&self) -> Result<BTreeSet<String>, ReadError> {
        self.read(CgroupFile::Controllers, parse::controllers)
    }

    /// Controllers its children have.
    pub fn subtree_control(&self) -> Result<BTreeSet<String>, ReadError> {
        self.read(CgroupFile::SubtreeControl, parse::controllers)
    }

    pub fn io_stat(&self) -> Result<Vec<IoStat>, ReadError> {
        self.read(CgroupFile::IoStat, parse::io_stat)
    }
}
