//! `KnobFiles` where cpusets of containers are the runtime's to write, so that it, the kubelet and the kernel agree; all other files, and all
//! reading, are the host's.

use actuator::{HostFiles, KnobFiles};
use model::knob::{Knob, KnobValue};
use model::plan::{FailureKind, StepFailure};
use model::qos::CgroupPath;
use model::{Bytes, CgroupId, CpuSet};
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
    fn update(
        &self,
        id: &str,
        resources: LinuxResources,
        subject: &str,
    ) -> Result<bool, StepFailure> {
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

impl ContainerFiles {
    /// Also where nobody can read it: whoever reads it back will say so.
    fn holds(&mut self, cgroup: &CgroupPath, knob: Knob, text: &str) -> bool {
        let held = self.host.text(cgroup, knob).ok().and_then(|held| held.parse::<CpuSet>().ok());
        held.is_none() || held == text.parse::<CpuSet>().ok()
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
        let resources = LinuxResources { cpu: Some(cpu), ..LinuxResources::default() };
        match self.update(id, resources.clone(), &subject)? {
            false => self.host.write(cgroup, knob, text),
            true if self.holds(cgroup, knob, text) => Ok(()),
            // Another plugin has named the file when the container was made: runtimes write such files last, with every update.
            true => {
                let unified = [(knob.file().to_owned(), text.to_owned())].into();
                self.update(id, LinuxResources { unified, ..resources }, &subject).map(drop)
            }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use hostfs::CgroupTree;
    use runtime::nri;

    use super::*;

    const ID: &str = "3f1c8a52f0f3a1b2c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b";

    /// A pod with a container, and files that no runtime writes.
    fn tree(root: &Path) -> (CgroupPath, CgroupPath) {
        let pod = CgroupPath::from("/pod7");
        let container = CgroupPath::new(format!("/pod7/{ID}"));
        for path in [&pod, &container] {
            let dir = root.join(path.as_str().trim_start_matches('/'));
            fs::create_dir_all(&dir).expect("a folder");
            for file in ["cgroup.procs", "cpuset.cpus", "cpuset.mems", "cpu.weight"] {
                fs::write(dir.join(file), "\n").expect("a file");
            }
        }
        (pod, container)
    }

    /// Nobody is connected: what is written is written by ourselves. An empty set of a container is none that a runtime could write, and
    /// restoring falls back to what the pod has.
    #[test]
    fn without_a_runtime_files_are_written_as_ever() {
        let root = tempfile::tempdir().expect("a folder");
        let (pod, container) = tree(root.path());
        let reactor = tokio::runtime::Runtime::new().expect("a reactor");
        let (talk, pushes) = nri::runtime();
        drop(pushes);
        let host = HostFiles::new(CgroupTree::at(root.path()));
        let mut files = ContainerFiles::new(host, talk, reactor.handle().clone());
        let rows = [
            (&container, Knob::CpusetCpus, "2-3"),
            (&container, Knob::CpusetMems, "1"),
            (&pod, Knob::CpusetCpus, "0-7"),
            (&container, Knob::CpuWeight, "50"),
        ];
        for (cgroup, knob, text) in rows {
            files.write(cgroup, knob, text).expect("written");
            assert_eq!(files.text(cgroup, knob).expect("read"), text, "{cgroup} {knob:?}");
        }
        let refused = files.write(&container, Knob::CpusetCpus, "").expect_err("refused");
        assert_eq!(refused.kind, FailureKind::NoSpace);
        assert_eq!(files.text(&container, Knob::CpusetCpus).expect("read"), "2-3");
    }
}
