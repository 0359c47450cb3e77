//! Keeps the journal of originals as large as the node is: cgroups come and go, and nobody tells a lane of each that is gone.

use std::collections::BTreeSet;

use model::plan::FailureKind;
use model::qos::CgroupPath;
use state::Originals;
use tracing::error;

use crate::files::KnobFiles;

/// Below this many originals a look is not worth its calls.
const FEW: usize = 64;

/// When to look, and what was missing at the last look.
#[derive(Debug)]
pub(crate) struct Tidying {
    at: usize,
    missing: BTreeSet<CgroupPath>,
}

impl Default for Tidying {
    fn default() -> Tidying {
        Tidying { at: FEW, missing: BTreeSet::new() }
    }
}

impl Tidying {
    /// Looks each time the number of originals has doubled, so that each costs one look. What is missing twice is forgotten: a container's
    /// original is here before its cgroup is made.
    pub(crate) fn look(&mut self, files: &mut dyn KnobFiles, originals: &mut Originals) {
        if originals.len() < self.at {
            return;
        }
        let is_gone = |cgroup: &CgroupPath, files: &mut dyn KnobFiles| {
            files.id(cgroup).is_err_and(|failure| failure.kind == FailureKind::Vanished)
        };
        let all: BTreeSet<CgroupPath> = originals.iter().map(|one| one.cgroup.clone()).collect();
        let missing: BTreeSet<CgroupPath> =
            all.into_iter().filter(|cgroup| is_gone(cgroup, files)).collect();
        let gone = missing.intersection(&self.missing).cloned().collect();
        if let Err(error) = originals.forget(&gone) {
            error!(%error, "The journal of originals is not rewritten");
        }
        self.missing = missing;
        self.at = FEW.max(originals.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use model::knob::{Knob, Lane};
    use state::{NOT_MADE_YET, Original};

    use super::*;
    use crate::fake::FakeFiles;

    /// A year of pods, ten at a time: the journal stays a handful, and who is there is never forgotten.
    #[test]
    fn originals_of_cgroups_that_are_gone_are_forgotten() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut originals = Originals::open(dir.path(), Lane::Slow).expect("a journal");
        let mut files = FakeFiles::with(&["/stays"]);
        let mut tidying = Tidying::default();
        let stays = CgroupPath::from("/stays");
        let original = |cgroup: &CgroupPath| Original {
            cgroup: cgroup.clone(),
            cgroup_id: NOT_MADE_YET,
            knob: Knob::CpusetCpus,
            text: String::new(),
        };
        originals.record(original(&stays)).expect("recorded");
        let mut most = 0;
        for n in 0..2000 {
            let pod = CgroupPath::new(format!("/pod-{n}"));
            originals.record(original(&pod)).expect("recorded");
            tidying.look(&mut files, &mut originals);
            assert!(originals.iter().any(|one| one.cgroup == pod), "it is about to be made");
            most = most.max(originals.len());
        }
        assert!(most < 4 * FEW, "{most}");
        assert!(originals.iter().any(|one| one.cgroup == stays));
    }
}
