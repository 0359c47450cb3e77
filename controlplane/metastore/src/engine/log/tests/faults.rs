//! Devices that are full or broken: what the caller is told, and what is there afterwards.

use std::io::ErrorKind;

use super::super::super::conformance::{all_groups, newest_checkpoint, payload};
use super::super::super::faulty::{Fault, FaultyEngine};
use super::super::super::memory::MemoryEngine;
use super::super::super::power::{Call, DiskFault};
use super::*;

fn once(call: Call, kind: ErrorKind) -> DiskFault {
    DiskFault { call, skip: 0, times: 1, kind }
}

fn writer(disk: &PowerDisk) -> (LogEngine, Epoch, Lsn) {
    let (engine, _) = open(disk).expect("open");
    let (epoch, head) = engine.claim().expect("claim");
    let head = engine.append(epoch, head, &[&payload(0, 100)]).expect("append");
    (engine, epoch, head)
}

/// A write that fails and can be undone: the place is free again, in this process and after a power cut.
#[track_caller]
fn check_not_written(faults: &[DiskFault], length: usize) {
    let disk = PowerDisk::new();
    let (engine, epoch, head) = writer(&disk);
    faults.iter().for_each(|&fault| disk.fail(fault));
    let failed = engine.append(epoch, head, &[&payload(1, length)]);
    assert!(matches!(failed, Err(AppendError::NotWritten { .. })), "{failed:?}");
    let (after, _) = open(&disk.cut(1)).expect("what is on the device is a log");
    assert_eq!(all_groups(&after, Lsn(0)).len(), 1, "nothing of the failed group is left");
    disk.heal();
    engine.append(epoch, head, &[&payload(2, 50)]).expect("the same place, with room again");
    let (after, opened) = open(&disk.cut(1)).expect("open");
    assert_eq!(all_groups(&after, Lsn(0)), all_groups(&engine, Lsn(0)));
    assert_eq!((all_groups(&after, Lsn(0)).len(), opened.dropped), (2, None));
}

#[test]
fn a_full_device_writes_nothing() {
    let full = ErrorKind::StorageFull;
    let no_room_again = DiskFault { call: Call::Allocate, skip: 0, times: u64::MAX, kind: full };
    check_not_written(&[once(Call::Write, full)], 1000);
    check_not_written(&[once(Call::Write, full), no_room_again], 1000);
    check_not_written(&[once(Call::Write, ErrorKind::Other)], 1000);
    check_not_written(&[no_room_again], 5000);
    check_not_written(&[once(Call::Create, full)], 5000);
    check_not_written(&[once(Call::Sync, ErrorKind::Other)], 5000);
}

/// An error after which nobody knows what is on the device: no write is ever taken again, and a new start finds out.
#[track_caller]
fn check_broken(faults: &[DiskFault], length: usize) {
    let disk = PowerDisk::new();
    let (engine, epoch, head) = writer(&disk);
    faults.iter().for_each(|&fault| disk.fail(fault));
    let failed = engine.append(epoch, head, &[&payload(1, length)]);
    assert!(matches!(failed, Err(AppendError::Broken { .. })), "{failed:?}");
    disk.heal();
    for _ in 0..2 {
        let again = engine.append(epoch, head, &[&payload(1, length)]);
        assert!(matches!(again, Err(AppendError::Broken { .. })), "{again:?}");
    }
    assert!(matches!(engine.claim(), Err(EngineError::Broken { .. })));
    assert!(matches!(engine.close(), Err(EngineError::Broken { .. })));
    assert_eq!(all_groups(&engine, Lsn(0)).len(), 1, "reading works");
    drop(engine);
    // What the new start shows is durable, also what the failed sync left in the cache only.
    let (restarted, _) = open(&disk).expect("open");
    let shown = all_groups(&restarted, Lsn(0));
    assert!(!shown.is_empty());
    for seed in 0..20 {
        let (after, _) = open(&disk.cut(seed)).expect("open");
        assert_eq!(all_groups(&after, Lsn(0)), shown, "seed {seed}");
    }
}

#[test]
fn a_failed_sync_is_the_end() {
    let other = ErrorKind::Other;
    check_broken(&[once(Call::Sync, other)], 1000);
    check_broken(&[once(Call::SyncFolder, other)], 5000);
    check_broken(&[once(Call::Rename, other)], 5000);
    check_broken(&[once(Call::Write, other), once(Call::SetLength, other)], 1000);
    check_broken(&[once(Call::Write, other), once(Call::Sync, other)], 1000);
    // The new segment is synced first, then the finished one.
    check_broken(&[DiskFault { skip: 1, ..once(Call::Sync, other) }], 5000);
}

#[test]
fn a_checkpoint_that_fails_changes_nothing() {
    for call in [Call::Create, Call::Write, Call::Sync, Call::Rename] {
        let disk = PowerDisk::new();
        let (engine, epoch, head) = writer(&disk);
        let old = engine.write_checkpoint(Lsn(0), &mut |body| body.write_all(b"old"));
        old.expect("checkpoint");
        disk.fail(once(call, ErrorKind::StorageFull));
        let failed = engine.write_checkpoint(head, &mut |body| body.write_all(b"new"));
        assert!(matches!(failed, Err(EngineError::Io { .. })), "{call:?} {failed:?}");
        let found = newest_checkpoint(&engine).expect("the old one");
        assert_eq!(found.at, Lsn(0));
        assert!(!disk.file_names().iter().any(|name| name.ends_with(".tmp")), "{call:?}");
        engine.append(epoch, head, &[b"x"]).expect("the log itself goes on");
    }
}

#[test]
fn a_trim_that_fails_is_taken_up_again() {
    let disk = PowerDisk::new();
    let (engine, epoch, mut head) = writer(&disk);
    for number in 0..12 {
        head = engine.append(epoch, head, &[&payload(number, 1000)]).expect("append");
    }
    engine.write_checkpoint(head, &mut |_| Ok(())).expect("checkpoint");
    disk.fail(once(Call::Remove, ErrorKind::PermissionDenied));
    assert!(engine.trim(head).is_err());
    open(&disk.cut(3)).map(drop).expect("no hole");
    engine.trim(head).expect("trim");
    let segments = disk.file_names().iter().filter(|name| name.ends_with(".log")).count();
    assert_eq!(segments, 1);
    open(&disk.cut(3)).map(drop).expect("no hole");
}

#[test]
fn the_script_of_a_faulty_engine_is_followed() {
    let script = [
        Fault::None,
        Fault::NotWritten,
        Fault::UncertainLost,
        Fault::UncertainLanded,
        Fault::Slow(std::time::Duration::from_millis(1)),
    ];
    let engine = FaultyEngine::new(Arc::new(MemoryEngine::new()), script);
    let (epoch, head) = engine.claim().expect("claim");
    let head = engine.append(epoch, head, &[b"1"]).expect("works");
    let not = engine.append(epoch, head, &[b"2"]);
    assert!(matches!(not, Err(AppendError::NotWritten { .. })) && engine.size().head == head);
    let lost = engine.append(epoch, head, &[b"3"]);
    assert!(matches!(lost, Err(AppendError::Uncertain { .. })) && engine.size().head == head);
    let landed = engine.append(epoch, head, &[b"4"]);
    assert!(matches!(landed, Err(AppendError::Uncertain { .. })) && engine.size().head > head);
    let head = engine.append(epoch, engine.size().head, &[b"5"]).expect("slow, and works");
    engine.then(Fault::Fenced);
    let fenced = engine.append(epoch, head, &[b"6"]);
    assert!(matches!(fenced, Err(AppendError::Fenced { by }) if by > epoch), "{fenced:?}");
    engine.then(Fault::Broken);
    for _ in 0..2 {
        let broken = engine.append(engine.epoch(), head, &[b"7"]);
        assert!(matches!(broken, Err(AppendError::Broken { .. })), "{broken:?}");
    }
    assert_eq!(all_groups(&engine, Lsn(0)).len(), 3);
}
