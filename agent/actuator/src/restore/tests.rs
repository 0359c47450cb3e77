//! Restoration where the world moved on: cgroups gone, made anew, or refusing.

use model::CgroupId;
use model::knob::{Knob, Lane};
use model::plan::FailureKind;
use model::qos::CgroupPath;
use state::{Original, Originals};

use super::restore;
use crate::fake::FakeFiles;

fn journal(dir: &tempfile::TempDir, entries: &[(&str, u64, Knob, &str)]) -> Originals {
    let mut journal = Originals::open(dir.path(), Lane::Slow).expect("journal");
    for (cgroup, id, knob, text) in entries {
        let original = Original {
            cgroup: CgroupPath::from(*cgroup),
            cgroup_id: CgroupId(*id),
            knob: *knob,
            text: (*text).to_owned(),
        };
        journal.record(original).expect("record");
    }
    journal
}

#[test]
fn a_cgroup_made_anew_under_the_old_path_is_left_alone() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a"]);
    let mut journal =
        journal(&dir, &[("/a", 99, Knob::CpuWeight, "3"), ("/b", 7, Knob::CpuMax, "x")]);
    let restored = restore(&mut files, &mut journal);
    assert_eq!((restored.written, restored.gone, restored.failures.len()), (0, 2, 0));
    assert!(files.log.is_empty() && journal.is_empty());
}

#[test]
fn an_empty_cpuset_of_a_populated_group_becomes_what_it_inherited() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a"]);
    let cpuset = (CgroupPath::from("/a"), Knob::CpusetCpus);
    files.files.insert(cpuset.clone(), "2".to_owned());
    files.refuse_empty = true;
    let mut journal = journal(&dir, &[("/a", 100, Knob::CpusetCpus, "")]);
    let restored = restore(&mut files, &mut journal);
    assert_eq!(restored.failures, vec![]);
    assert_eq!(files.files[&cpuset], "0-7");
}

#[test]
fn a_refusal_keeps_the_journal_and_the_rest_is_still_restored() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a", "/b"]);
    files.refuse.insert((CgroupPath::from("/a"), Knob::CpuMax), (FailureKind::Denied, 13));
    let entries =
        [("/a", 100, Knob::CpuMax, "5000 100000"), ("/b", 101, Knob::CpuMax, "7000 100000")];
    let mut journal = journal(&dir, &entries);
    let restored = restore(&mut files, &mut journal);
    assert_eq!((restored.written, restored.failures.len()), (1, 1));
    assert!(!journal.is_empty(), "the next agent tries again");
}
