//! Writing the files of one cgroup. One call is one write of one value; nothing is read back and
//! nothing is tried twice, both are the actuator's.

use model::knob::{Knob, KnobValue};

use crate::cgroup::dir::{Cgroup, CgroupFile};
use crate::error::WriteError;

/// Writes one knob.
pub fn write_knob(cgroup: &Cgroup, value: KnobValue) -> Result<(), WriteError> {
    write_text(cgroup, value.knob(), &value.to_string())
}

/// Writes the text of one knob: what `Display` of a value gives, or what once was read. The memory
/// files and `cpuset.mems` may reclaim or migrate in the writer, and `memory.max` may kill: slow
/// lane only.
pub fn write_text(cgroup: &Cgroup, knob: Knob, text: &str) -> Result<(), WriteError> {
    match knob_file(knob) {
        // A write of no bytes never reaches the kernel's handler: the empty list ("inherit") is a
        // lone newline.
        Some(file) if text.is_empty() => cgroup.write(file, "\n"),
        Some(file) => cgroup.write(file, text),
        None => cgroup.write_oom_score(text),
    }
}

/// `None` for `oom_score_adj`, which each process has and the cgroup has not.
pub const fn knob_file(knob: Knob) -> Option<CgroupFile> {
    Some(match knob {
        Knob::CpuIdle => CgroupFile::CpuIdle,
        Knob::CpuWeight => CgroupFile::CpuWeight,
        Knob::CpuMax => CgroupFile::CpuMax,
        Knob::CpuMaxBurst => CgroupFile::CpuMaxBurst,
        Knob::CpusetCpus => CgroupFile::CpusetCpus,
        Knob::CpusetMems => CgroupFile::CpusetMems,
        Knob::MemoryMin => CgroupFile::MemoryMin,
        Knob::MemoryLow => CgroupFile::MemoryLow,
        Knob::MemoryHigh => CgroupFile::MemoryHigh,
        Knob::MemoryMax => CgroupFile::MemoryMax,
        Knob::OomScoreAdj => return None,
    })
}

impl Cgroup {
    /// Returns when the kernel has taken the wish; `events().frozen` tells when it is done.
    pub fn freeze(&self) -> Result<(), WriteError> {
        self.write(CgroupFile::Freeze, "1")
    }

    pub fn thaw(&self) -> Result<(), WriteError> {
        self.write(CgroupFile::Freeze, "0")
    }

    /// SIGKILL to every process below; kernel 5.14 or later.
    pub fn kill(&self) -> Result<(), WriteError> {
        self.write(CgroupFile::Kill, "1")
    }

    /// Moves a process with all its threads here.
    pub fn attach(&self, pid: u32) -> Result<(), WriteError> {
        self.write(CgroupFile::Procs, &pid.to_string())
    }

    /// Gives the children one controller.
    pub fn enable(&self, controller: &str) -> Result<(), WriteError> {
        self.write(CgroupFile::SubtreeControl, &format!("+{controller}"))
    }

    pub fn disable(&self, controller: &str) -> Result<(), WriteError> {
        self.write(CgroupFile::SubtreeControl, &format!("-{controller}"))
    }
}
