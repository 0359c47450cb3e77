//! Writing the files of one cgroup. One call is one write of one value; nothing is read back and
//! nothing is tried twice, both are the actuator's.

use model::CpuSet;
use model::knob::{Knob, KnobValue};

use crate::cgroup::dir::{Cgroup, CgroupFile};
use crate::cgroup::parse::MemoryLimit;
use crate::error::WriteError;

/// Writes one knob.
pub fn write_knob(cgroup: &Cgroup, value: KnobValue) -> Result<(), WriteError> {
    let file = knob_file(value.knob());
    match value {
        KnobValue::CpusetCpus(cpus) => cgroup.write_list(file, &cpus),
        value => cgroup.write(file, &value.to_string()),
    }
}

pub const fn knob_file(knob: Knob) -> CgroupFile {
    match knob {
        Knob::CpuIdle => CgroupFile::CpuIdle,
        Knob::CpuWeight => CgroupFile::CpuWeight,
        Knob::CpuMax => CgroupFile::CpuMax,
        Knob::CpusetCpus => CgroupFile::CpusetCpus,
    }
}

impl Cgroup {
    /// May migrate pages in the writer: slow lane only.
    pub fn set_cpuset_mems(
        &self,
        nodes: impl IntoIterator<Item = model::NumaNodeId>,
    ) -> Result<(), WriteError> {
        let list: CpuSet = nodes.into_iter().map(|node| model::CpuId(node.0)).collect();
        self.write_list(CgroupFile::CpusetMems, &list)
    }

    /// May reclaim in the writer: slow lane only.
    pub fn set_memory_high(&self, limit: MemoryLimit) -> Result<(), WriteError> {
        self.write(CgroupFile::MemoryHigh, &limit.to_string())
    }

    /// May reclaim in the writer and kill: slow lane only.
    pub fn set_memory_max(&self, limit: MemoryLimit) -> Result<(), WriteError> {
        self.write(CgroupFile::MemoryMax, &limit.to_string())
    }

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

    /// A cpuset list. The empty list ("inherit") is a lone newline: a write of no bytes never
    /// reaches the kernel's handler.
    fn write_list(&self, file: CgroupFile, list: &CpuSet) -> Result<(), WriteError> {
        match list.is_empty() {
            true => self.write(file, "\n"),
            false => self.write(file, &list.to_string()),
        }
    }
}
