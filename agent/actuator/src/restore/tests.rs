//! Restoration where the world moved on: cgroups gone, made anew, or refusing.

use model::CgroupId;
use model::knob::{Knob, Lane};
use model::plan::FailureKind;
use model::qos::CgroupPath;
use state::{Original, Originals};

use super::{release, restore};
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
    let nodes = (CgroupPath::from("/a"), Knob::CpusetMems);
    files.files.insert(nodes.clone(), "1".to_owned());
    let mut journal = self::journal(&dir, &[("/a", 100, Knob::CpusetMems, "")]);
    assert_eq!(restore(&mut files, &mut journal).failures, vec![]);
    assert_eq!(files.files[&nodes], "0-1");
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

/// The kernel wants the burst within the quota at every moment, whichever of the two grows.
#[test]
fn quota_and_burst_come_back_in_the_order_the_kernel_takes() {
    for (ours, theirs) in
        [(("90000", "80000"), ("20000", "10000")), (("5000", "0"), ("50000", "50000"))]
    {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut files = FakeFiles::with(&["/a"]);
        let key = |knob| (CgroupPath::from("/a"), knob);
        files.files.insert(key(Knob::CpuMax), format!("{} 100000", ours.0));
        files.files.insert(key(Knob::CpuMaxBurst), ours.1.to_owned());
        let quota = format!("{} 100000", theirs.0);
        let entries =
            [("/a", 100, Knob::CpuMax, &*quota), ("/a", 100, Knob::CpuMaxBurst, theirs.1)];
        assert_eq!(restore(&mut files, &mut journal(&dir, &entries)).failures, vec![]);
        assert_eq!(files.files[&key(Knob::CpuMax)], quota);
        assert_eq!(files.files[&key(Knob::CpuMaxBurst)], theirs.1);
    }
}

#[test]
fn memory_meets_the_limit_that_reclaims_before_the_limit_that_kills() {
    for (high, max, expect) in [
        ("max", "max", ["/a/memory.max=max", "/a/memory.high=max"]),
        ("4096", "8192", ["/a/memory.high=4096", "/a/memory.max=8192"]),
    ] {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut files = FakeFiles::with(&["/a"]);
        for knob in [Knob::MemoryHigh, Knob::MemoryMax] {
            files.files.insert((CgroupPath::from("/a"), knob), "65536".to_owned());
        }
        let entries = [("/a", 100, Knob::MemoryHigh, high), ("/a", 100, Knob::MemoryMax, max)];
        assert_eq!(restore(&mut files, &mut journal(&dir, &entries)).failures, vec![]);
        assert_eq!(files.log, expect);
    }
}

/// Two files of one cgroup: the third and the other cgroup stay as they are, in the journal, too. What was let go has a new original when
/// it is written again.
#[test]
fn files_that_nobody_wants_any_more_are_put_back_alone() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a", "/b"]);
    let entries = [
        ("/a", 100, Knob::CpuIdle, "0"),
        ("/a", 100, Knob::CpuWeight, "79"),
        ("/a", 100, Knob::CpuMax, "max 100000"),
        ("/b", 101, Knob::CpuWeight, "5"),
    ];
    let mut journal = journal(&dir, &entries);
    let a = CgroupPath::from("/a");
    let file = |files: &FakeFiles, knob| files.files[&(a.clone(), knob)].clone();
    let untouched = file(&files, Knob::CpuMax);
    let released = release(&mut files, &mut journal, &a, &[Knob::CpuWeight, Knob::CpuIdle]);
    assert_eq!((released.written, released.failures.len()), (2, 0));
    assert_eq!(file(&files, Knob::CpuWeight), "79");
    assert_eq!(file(&files, Knob::CpuMax), untouched);
    let reopened = Originals::open(dir.path(), Lane::Slow).expect("journal");
    let left: Vec<_> = reopened.iter().map(|one| (one.cgroup.to_string(), one.knob)).collect();
    assert_eq!(left, [("/a".to_owned(), Knob::CpuMax), ("/b".to_owned(), Knob::CpuWeight)]);
    assert_eq!(release(&mut files, &mut journal, &a, &[Knob::CpuWeight]), Default::default());
}

#[test]
fn a_refused_release_stays_in_the_journal() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut files = FakeFiles::with(&["/a"]);
    files.refuse.insert((CgroupPath::from("/a"), Knob::CpuWeight), (FailureKind::Denied, 13));
    let mut journal = journal(&dir, &[("/a", 100, Knob::CpuWeight, "79")]);
    let released = release(&mut files, &mut journal, &CgroupPath::from("/a"), &[Knob::CpuWeight]);
    assert_eq!((released.written, released.failures.len(), journal.len()), (0, 1, 1));
}
