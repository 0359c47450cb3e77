//! `KnobFiles` on the real cgroup tree, through `hostfs`, with directories held open.

use std::collections::BTreeMap;
use std::error::Error;

use hostfs::{
    Cgroup, CgroupFile, CgroupTree, ReadError, WriteError, knob_file, read_knob, write_text,
};
use model::knob::{Knob, KnobValue};
use model::plan::{FailureKind, StepFailure};
use model::qos::CgroupPath;
use model::{Bytes, CgroupId};

use crate::files::KnobFiles;

/// Open cgroups below one managed root.
#[derive(Debug)]
pub struct HostFiles {
    tree: CgroupTree,
    open: BTreeMap<CgroupPath, Cgroup>,
    /// So many are open when those that are gone are looked for.
    tidy_at: usize,
}

/// Below this many a look is not worth its calls.
const FEW: usize = 8;

impl HostFiles {
    pub fn new(tree: CgroupTree) -> HostFiles {
        HostFiles { tree, open: BTreeMap::new(), tidy_at: FEW }
    }

    fn cgroup(&mut self, path: &CgroupPath) -> Result<&Cgroup, StepFailure> {
        let stale = self.open.get(path).is_some_and(|cgroup| !cgroup.is_alive());
        if stale {
            self.open.remove(path);
        }
        if !self.open.contains_key(path) {
            self.tidy();
        }
        match self.open.entry(path.clone()) {
            std::collections::btree_map::Entry::Occupied(held) => Ok(held.into_mut()),
            std::collections::btree_map::Entry::Vacant(free) => {
                Ok(free.insert(self.tree.cgroup(path).map_err(unread)?))
            }
        }
    }

    /// Closes what is gone: nobody tells the slow lane of a group that it writes no more. Looks each
    /// time their number has doubled, so that opening many costs each of them one look.
    fn tidy(&mut self) {
        if self.open.len() < self.tidy_at {
            return;
        }
        self.open.retain(|_, cgroup| cgroup.is_alive());
        self.tidy_at = FEW.max(self.open.len() * 2);
    }
}

impl KnobFiles for HostFiles {
    fn id(&mut self, cgroup: &CgroupPath) -> Result<CgroupId, StepFailure> {
        Ok(self.cgroup(cgroup)?.id())
    }

    fn text(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<String, StepFailure> {
        let cgroup = self.cgroup(cgroup)?;
        match knob_file(knob) {
            Some(file) => cgroup.read(file, |text| Ok(text.trim().to_owned())).map_err(unread),
            None => match cgroup.first_oom_score().map_err(unread)? {
                Some(score) => Ok(score.to_string()),
                None => Err(no_process(cgroup)),
            },
        }
    }

    fn effective(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<KnobValue, StepFailure> {
        let cgroup = self.cgroup(cgroup)?;
        match knob {
            Knob::CpusetCpus => cgroup.cpuset_effective().map(KnobValue::CpusetCpus),
            Knob::CpusetMems => cgroup.cpuset_mems_effective().map(KnobValue::CpusetMems),
            Knob::OomScoreAdj => match cgroup.oom_scores().map_err(unread)? {
                Some(scores) => Ok(KnobValue::OomScoreAdj(scores)),
                None => return Err(no_process(cgroup)),
            },
            knob => read_knob(cgroup, knob),
        }
        .map_err(unread)
    }

    fn write(&mut self, cgroup: &CgroupPath, knob: Knob, text: &str) -> Result<(), StepFailure> {
        write_text(self.cgroup(cgroup)?, knob, text).map_err(unwritten)
    }

    fn parent_effective(&mut self, cgroup: &CgroupPath, knob: Knob) -> Result<String, StepFailure> {
        let parent = match cgroup.as_str().rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => CgroupPath::new(parent),
            _ => CgroupPath::new("/"),
        };
        let file = match knob {
            Knob::CpusetMems => CgroupFile::CpusetMemsEffective,
            _ => CgroupFile::CpusetCpusEffective,
        };
        self.tree
            .cgroup(&parent)
            .and_then(|parent| parent.read(file, |text| Ok(text.trim().to_owned())))
            .map_err(unread)
    }

    fn memory_in_use(&mut self, cgroup: &CgroupPath) -> Result<Bytes, StepFailure> {
        self.cgroup(cgroup)?.memory_current().map_err(unread)
    }

    fn groups_with_processes(
        &mut self,
        cgroup: &CgroupPath,
    ) -> Result<Vec<CgroupPath>, StepFailure> {
        self.cgroup(cgroup)?.groups_with_processes().map_err(unread)
    }

    fn forget(&mut self, cgroup: &CgroupPath) {
        self.open.remove(cgroup);
    }
}

/// It had some when it was listed; nothing is left that could have a score.
fn no_process(cgroup: &Cgroup) -> StepFailure {
    StepFailure {
        kind: FailureKind::Unsupported,
        errno: None,
        message: format!("{} has no process, so no oom_score_adj", cgroup.shown().display()),
    }
}

fn unread(error: ReadError) -> StepFailure {
    let kind = match &error {
        ReadError::Absent { .. } => FailureKind::Vanished,
        ReadError::Unsupported { .. } => FailureKind::Unsupported,
        _ => FailureKind::Other,
    };
    StepFailure { kind, errno: error.errno(), message: sentence(&error) }
}

fn unwritten(error: WriteError) -> StepFailure {
    StepFailure { kind: error.kind(), errno: error.errno(), message: sentence(&error) }
}

fn sentence(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day of pods, each gone before the next one comes: what is open stays a handful.
    #[test]
    fn cgroups_that_are_gone_are_closed() {
        let root = tempfile::tempdir().expect("a folder");
        let mut files = HostFiles::new(CgroupTree::at(root.path()));
        let folder = |name: &str| {
            let dir = root.path().join(name);
            std::fs::create_dir(&dir).expect("a cgroup");
            std::fs::write(dir.join("cgroup.procs"), "").expect("its processes");
            std::fs::write(dir.join("cpuset.cpus"), "0\n").expect("its cpuset");
            dir
        };
        folder("api");
        let mut most = 0;
        for n in 0..100 {
            let pod = folder(&format!("pod-{n}"));
            for name in ["/api".to_owned(), format!("/pod-{n}")] {
                files.text(&CgroupPath::new(name), Knob::CpusetCpus).expect("a cpuset");
            }
            std::fs::remove_dir_all(pod).expect("the pod goes");
            most = most.max(files.open.len());
        }
        assert!(most <= FEW, "{most} are open");
        assert!(files.open.contains_key(&CgroupPath::from("/api")), "who is there stays open");
    }
}
