//! The edge to cgroup files, as narrow as the lanes need it: the host, or a fake that refuses.

use model::knob::{Knob, KnobValue};
use model::plan::StepFailure;
use model::qos::CgroupPath;
use model::{Bytes, CgroupId};

/// Reads and writes knobs of cgroups below the managed root. Implementations keep directories
/// open, so that a cgroup made anew under an old path is not mistaken for the old one.
pub trait KnobFiles: Send {
    /// The id of the cgroup that stands at `cgroup`.
    fn id(&mut self, cgroup: &CgroupPath) -> Result<CgroupId, StepFailure>;

    /// The bytes of a file without the newline; for `oom_score_adj` what the first process has.
    fn text(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<String, StepFailure>;

    /// What the kernel applies: `cpuset.cpus.effective` and `cpuset.mems.effective` for a cpuset,
    /// what all processes have for `oom_score_adj`, the file itself otherwise.
    fn effective(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<KnobValue, StepFailure>;

    fn write(&mut self, cgroup: &CgroupPath, knob: Knob, text: &str) -> Result<(), StepFailure>;

    /// What the cgroup above applies, for a cpuset (CPUs or nodes) that cannot be emptied.
    fn parent_effective(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<String, StepFailure>;

    /// `memory.current`, looked at right before a `memory.max` is written.
    fn memory_in_use(&mut self, cgroup: &CgroupPath) -> Result<Bytes, StepFailure>;

    /// The cgroup and all groups below it, those with processes: each keeps its own
    /// `oom_score_adj` as original, for a runtime gives each container another one.
    fn groups_with_processes(
        &mut self,
        cgroup: &CgroupPath,
    ) -> Result<Vec<CgroupPath>, StepFailure>;

    /// Closes what is held for a cgroup.
    fn forget(&mut self, cgroup: &CgroupPath);
}
