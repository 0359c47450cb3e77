//! The journal through crashes: torn tails, altered lines, and the first value winning.

use std::path::Path;

use model::CgroupId;
use model::knob::{Knob, Lane};
use model::qos::CgroupPath;

use super::{Original, Originals};

fn original(id: u64, knob: Knob, text: &str) -> Original {
    Original {
        cgroup: CgroupPath::new(format!("/batch/pod-{id}")),
        cgroup_id: CgroupId(id),
        knob,
        text: text.to_owned(),
    }
}

fn texts(dir: &Path) -> Vec<String> {
    let journal = Originals::open(dir, Lane::Fast).expect("open");
    journal.iter().map(|o| format!("{}/{}={}", o.cgroup, o.knob.file(), o.text)).collect()
}

#[test]
fn the_first_value_is_the_original_through_restarts() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut journal = Originals::open(dir.path(), Lane::Fast).expect("open");
    journal.record(original(7, Knob::CpuMax, "max 100000")).expect("record");
    journal.record(original(7, Knob::CpuMax, "5000 100000")).expect("ours, ignored");
    drop(journal);
    let mut journal = Originals::open(dir.path(), Lane::Fast).expect("reopen");
    journal.record(original(7, Knob::CpuMax, "5000 100000")).expect("ours, ignored");
    journal.record(original(7, Knob::CpusetCpus, "")).expect("an empty cpuset is a value");
    drop(journal);
    assert_eq!(texts(dir.path()), ["/batch/pod-7/cpu.max=max 100000", "/batch/pod-7/cpuset.cpus="]);
}

#[test]
fn a_tail_torn_at_any_byte_loses_only_the_record_that_was_not_yet_acted_on() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut journal = Originals::open(dir.path(), Lane::Fast).expect("open");
    journal.record(original(1, Knob::CpuWeight, "100")).expect("record");
    let kept = std::fs::read(dir.path().join("originals-fast.log")).expect("read").len();
    journal.record(original(2, Knob::CpuWeight, "100")).expect("record");
    drop(journal);
    let whole = std::fs::read(dir.path().join("originals-fast.log")).expect("read");
    for cut in kept..whole.len() - 1 {
        let torn = tempfile::tempdir().expect("temp dir");
        std::fs::write(torn.path().join("originals-fast.log"), &whole[..cut]).expect("tear");
        let mut journal = Originals::open(torn.path(), Lane::Fast).expect("open torn");
        assert_eq!(journal.iter().count(), 1, "cut at {cut}");
        assert_eq!(journal.damaged_lines, usize::from(cut > kept), "cut at {cut}");
        journal.record(original(3, Knob::CpuIdle, "0")).expect("append after a torn line");
        drop(journal);
        assert_eq!(texts(torn.path()).len(), 2, "cut at {cut}");
    }
}

#[test]
fn hostile_lines_are_counted_and_skipped() {
    let dir = tempfile::tempdir().expect("temp dir");
    let garbage = b"\xff\xfe\n00000000 {}\nnonsense\n\n12345678 {\"cgroup\":\"/x\"}\n";
    std::fs::write(dir.path().join("originals-fast.log"), garbage).expect("write");
    let journal = Originals::open(dir.path(), Lane::Fast).expect("open");
    assert_eq!((journal.iter().count(), journal.damaged_lines), (0, 4));
}

#[test]
fn gone_cgroups_are_forgotten_and_clear_empties_the_file() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut journal = Originals::open(dir.path(), Lane::Fast).expect("open");
    journal.record(original(1, Knob::CpuWeight, "100")).expect("record");
    journal.record(original(2, Knob::CpuWeight, "100")).expect("record");
    journal.forget(&[CgroupPath::from("/batch/pod-1")].into()).expect("forget");
    assert_eq!(journal.iter().count(), 1);
    journal.clear().expect("clear");
    journal.record(original(9, Knob::CpuIdle, "0")).expect("record after clear");
    drop(journal);
    assert_eq!(texts(dir.path()), ["/batch/pod-9/cpu.idle=0"]);
}
