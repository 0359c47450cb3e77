//! The edge to cgroup files, as narrow as the lanes need it: the host, or a fake that refuses.

use model::CgroupId;
use model::knob::{Knob, KnobValue};
use model::plan::StepFailure;
use model::qos::CgroupPath;

/// Reads and writes knobs of cgroups below the managed root. Implementations keep directories
/// open, so that a cgroup made anew under an old path is not mistaken for the old one.
pub trait KnobFiles: Send {
    /// The id of the cgroup that stands at `cgroup`.
    fn id(&mut self, cgroup: &CgroupPath) -> Result<CgroupId, StepFailure>;

    /// The bytes of a file without the newline.
    fn text(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<String, StepFailure>;

    /// What the kernel applies: `cpuset.cpus.effective` for a cpuset, the file itself otherwise.
    fn effective(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<KnobValue, StepFailure>;

    fn write(&mut self, cgroup: &CgroupPath, knob: Knob, text: &str) -> Result<(), StepFailure>;

    /// What the cgroup above applies, for a cpuset that cannot be emptied.
    fn parent_effective(&mut self, cgroup: &CgroupPath) -> Result<String, StepFailure>;

    /// Closes what is held for a cgroup.
    fn forget(&mut self, cgroup: &CgroupPath);
}
