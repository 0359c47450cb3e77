//! Opening a real folder: whose it is, that only one has it, and that everything is there again.

use std::fs;

use super::super::super::Group;
use super::super::super::conformance::{all_groups, payload};
use super::*;

fn refused(folder: &Path) -> EngineError {
    LogEngine::open(folder, SMALL).map(drop).expect_err("it must be refused")
}

/// Three segments or more.
fn fill(folder: &Path) -> Vec<Group> {
    let (engine, opened) = LogEngine::open(folder, SMALL).expect("open");
    assert!(!opened.clean && opened.dropped.is_none());
    let (epoch, mut head) = engine.claim().expect("claim");
    for number in 0..12 {
        head = engine.append(epoch, head, &[&payload(number, 1000)]).expect("append");
    }
    engine.close().expect("close");
    all_groups(&engine, Lsn(0))
}

#[test]
fn keeps_the_contract_on_a_real_folder() {
    let root = tempfile::tempdir().expect("a folder");
    let count = std::cell::Cell::new(0);
    conformance::check(&|| {
        count.set(count.get() + 1);
        let folder = root.path().join(count.get().to_string());
        Arc::new(LogEngine::open(&folder, SMALL).expect("a new log").0)
    });
}

#[test]
fn everything_is_there_again() {
    let root = tempfile::tempdir().expect("a folder");
    let written = fill(root.path());
    let (engine, opened) = LogEngine::open(root.path(), SMALL).expect("open");
    assert!(opened.clean);
    assert_eq!(all_groups(&engine, Lsn(0)), written);
    let (epoch, head) = engine.claim().expect("claim");
    assert_eq!(epoch, Epoch(2));
    engine.append(epoch, head, &[b"more"]).expect("append");
    drop(engine);
    let (engine, opened) = LogEngine::open(root.path(), SMALL).expect("open");
    assert!(!opened.clean, "it was not closed");
    assert_eq!(all_groups(&engine, Lsn(0)).len(), written.len() + 1);
}

#[test]
fn more_pieces_than_one_call_takes_are_written() {
    let root = tempfile::tempdir().expect("a folder");
    let (engine, _) = LogEngine::open(root.path(), LogOptions::default()).expect("open");
    let (epoch, head) = engine.claim().expect("claim");
    let bytes = payload(1, 5000);
    let pieces: Vec<&[u8]> = bytes.chunks(1).flat_map(|piece| [piece, &[]]).collect();
    engine.append(epoch, head, &pieces).expect("append");
    let nothing: Vec<&[u8]> = vec![&[]; 3000];
    engine.append(epoch, engine.size().head, &nothing).expect("append");
    assert_eq!(all_groups(&engine, head)[0].payload, bytes);
}

#[test]
fn only_one_has_it() {
    let root = tempfile::tempdir().expect("a folder");
    let first = LogEngine::open(root.path(), SMALL).expect("open");
    assert!(matches!(refused(root.path()), EngineError::Locked { .. }));
    drop(first);
    LogEngine::open(root.path(), SMALL).map(drop).expect("it is free again");
}

#[test]
fn a_foreign_folder_is_left_alone() {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("notes.txt"), "mine").expect("write");
    let error = refused(root.path());
    assert!(
        matches!(&error, EngineError::NotOurs { found, .. } if found == "notes.txt"),
        "{error}"
    );
    assert_eq!(fs::read_dir(root.path()).expect("list").count(), 1, "nothing was added");
}

#[test]
fn a_log_without_its_mark_is_not_overwritten() {
    let root = tempfile::tempdir().expect("a folder");
    fill(root.path());
    fs::remove_file(root.path().join("FORMAT")).expect("remove");
    assert!(matches!(refused(root.path()), EngineError::NotOurs { .. }));
}

#[test]
fn a_first_start_that_was_cut_short_is_done_again() {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("00000000000000000000.log"), [0; 4096]).expect("write");
    fs::write(root.path().join("FORMAT.tmp"), "berth").expect("write");
    fs::write(root.path().join("LOCK"), "").expect("write");
    fill(root.path());
}

#[test]
fn a_newer_version_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    fill(root.path());
    let newer = "berth-metastore-log 2 01234567 89abcdef\n";
    fs::write(root.path().join("FORMAT"), newer).expect("write");
    let error = refused(root.path());
    assert!(matches!(error, EngineError::UnknownVersion { found: 2, .. }), "{error}");
    assert!(error.to_string().contains("version 1"), "{error}");
}

#[test]
fn a_missing_segment_is_noticed_wherever_it_was() {
    let root = tempfile::tempdir().expect("a folder");
    fill(root.path());
    let entries = fs::read_dir(root.path()).expect("list");
    let paths = entries.map(|entry| entry.expect("entry").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    segments.sort();
    assert!(segments.len() >= 3);
    let aside = root.path().join("aside");
    for (index, segment) in segments.iter().enumerate() {
        fs::rename(segment, &aside).expect("take away");
        let error = refused(root.path());
        let of_last = index + 1 == segments.len();
        let expected = match &error {
            EngineError::Missing { .. } => !of_last,
            EngineError::Damaged { reason, .. } => of_last && reason.contains("missing"),
            _ => false,
        };
        assert!(expected, "{error}");
        fs::rename(&aside, segment).expect("bring back");
    }
    for segment in &segments {
        fs::remove_file(segment).expect("remove");
    }
    assert!(matches!(refused(root.path()), EngineError::Missing { .. }));
}

#[test]
fn a_trimmed_log_opens_from_its_checkpoint() {
    let root = tempfile::tempdir().expect("a folder");
    let written = fill(root.path());
    let at = written[9].at;
    let (engine, _) = LogEngine::open(root.path(), SMALL).expect("open");
    engine.write_checkpoint(at, &mut |body| body.write_all(b"index")).expect("checkpoint");
    engine.trim(at).expect("trim");
    let oldest = engine.size().oldest;
    assert!(oldest > Lsn(0));
    drop(engine);
    let (engine, opened) = LogEngine::open(root.path(), SMALL).expect("open");
    assert_eq!((opened.oldest, engine.epoch()), (oldest, Epoch(1)));
    assert_eq!(all_groups(&engine, at), written[9..]);
    drop(engine);
    fs::remove_file(root.path().join(checkpoint::name(at))).expect("remove");
    let error = refused(root.path());
    assert!(matches!(error, EngineError::Missing { from: Lsn(0), .. }), "{error}");
}
