//! `KnobFiles` where cpusets of containers are the runtime's to write, so that it, the kubelet and the kernel agree; all other files, and all
//! reading, are the host's.

use actuator::{HostFiles, KnobFiles};
use model::knob::{Knob, KnobValue};
use model::plan::{FailureKind, StepFailure};
use model::qos::CgroupPath;
use model::{Bytes, CgroupId};
use proto::nri::{ContainerUpdate, LinuxContainerUpdate, LinuxCpu, LinuxResources};
use runtime::cgroup::container_id;
use runtime::nri::{Runtime, UpdateError};
use tokio::runtime::Handle;

/// The host's files, and a runtime for those of containers.
#[derive(Debug)]
pub struct ContainerFiles {
    host: HostFiles,
    runtime: Runtime,
    /// Of the thread that talks to the runtime.
    handle: Handle,
}

impl ContainerFiles {
    pub fn new(host: HostFiles, runtime: Runtime, handle: Handle) -> ContainerFiles {
        ContainerFiles { host, runtime, handle }
    }

    /// Waits until the runtime has written. `Ok(false)`: nobody is there to do it.
    fn update(&self, id: &str, cpu: LinuxCpu, subject: &str) -> Result<bool, StepFailure> {
        let resources = LinuxResources { cpu: Some(cpu), ..LinuxResources::default() };
        let update = ContainerUpdate {
            container_id: id.to_owned(),
            linux: Some(LinuxContainerUpdate { resources: Some(resources) }),
            ignore_failure: false,
        };
        let failure = |kind, message| StepFailure { kind, errno: None, message };
        match self.handle.block_on(self.runtime.update(vec![update])) {
            Ok(failed) if failed.is_empty() => Ok(true),
            Ok(_) => Err(failure(
                FailureKind::Other,
                format!("{subject}: the runtime did not update the container"),
            )),
            Err(UpdateError::Disconnected) => Ok(false),
            Err(error) => Err(failure(FailureKind::Busy, format!("{subject}: {error}"))),
        }
    }
}

impl KnobFiles for ContainerFiles {
    fn id(&mut self, cgroup: &CgroupPath) -> Result<CgroupId, StepFailure> {
        self.host.id(cgroup)
    }

    fn text(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<String, StepFailure> {
        self.host.text(cgroup, knob)
    }

    fn effective(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<KnobValue, StepFailure> {
        self.host.effective(cgroup, knob)
    }

    /// Where no runtime is connected the file is written after all: a container on the wrong CPUs is worse than a runtime that learns of it
    /// when it is back.
    fn write(&mut self, cgroup: &CgroupPath, knob: Knob, text: &str) -> Result<(), StepFailure> {
        let cpu = match knob {
            Knob::CpusetCpus => LinuxCpu { cpus: text.to_owned(), ..LinuxCpu::default() },
            Knob::CpusetMems => LinuxCpu { mems: text.to_owned(), ..LinuxCpu::default() },
            _ => return self.host.write(cgroup, knob, text),
        };
        let Some(id) = container_id(cgroup) else { return self.host.write(cgroup, knob, text) };
        let subject = format!("{cgroup}/{} = {text}", knob.file());
        if text.is_empty() {
            // To a runtime an empty set is one that is not mentioned.
            let message = format!("{subject}: a runtime cannot empty a cpuset");
            return Err(StepFailure { kind: FailureKind::NoSpace, errno: None, message });
        }
        match self.update(id, cpu, &subject)? {
            true => Ok(()),
            false => self.host.write(cgroup, knob, text),
        }
    }

    fn parent_effective(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<String, StepFailure> {
        self.host.parent_effective(cgroup, knob)
    }

    fn memory_in_use(&mut self, cgroup: &CgroupPath) -> Result<Bytes, StepFailure> {
        self.host.memory_in_use(cgroup)
    }

    fn groups_with_processes(
        &mut self,
        cgroup: &CgroupPath,
    ) -> Result<Vec<CgroupPath>, StepFailure> {
        self.host.groups_with_processes(cgroup)
    }

    fn forget(&mut self, cgroup: &CgroupPath) {
        self.host.forget(cgroup);
    }
}
