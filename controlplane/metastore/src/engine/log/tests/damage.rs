//! Flipped bits at every byte of small logs: a start is refused, or the last group only is missing, and never is there a wrong payload.

use super::super::super::Group;
use super::super::super::conformance::{all_groups, payload};
use super::*;

const TINY: LogOptions = LogOptions { segment_bytes: 512 };

/// A log with two segments. `sealed` ends it with `close`.
fn filled(sealed: bool, checkpoints: &[usize]) -> (PowerDisk, Vec<Group>) {
    let disk = PowerDisk::new();
    let (engine, _) = LogEngine::open_on(Arc::new(disk.clone()), TINY).expect("open");
    let (epoch, mut head) = engine.claim().expect("claim");
    for number in 0..6 {
        let bytes = payload(number, 60 + number as usize);
        head = engine.append(epoch, head, &[&bytes]).expect("append");
    }
    let written = all_groups(&engine, Lsn(0));
    for &index in checkpoints {
        let body = payload(index as u64, 200);
        let made = engine.write_checkpoint(written[index].at, &mut |sink| sink.write_all(&body));
        made.expect("checkpoint");
    }
    if sealed {
        engine.close().expect("close");
    }
    drop(engine);
    (disk.settled(), written)
}

fn flipped(disk: &PowerDisk, name: &str, bit: usize) -> PowerDisk {
    let copy = disk.settled();
    let mut bytes = copy.contents(name).expect("it is there");
    bytes[bit / 8] ^= 1 << (bit % 8);
    copy.put(name, bytes);
    copy
}

/// Flips one bit of each byte (another one in each) of the files whose name ends so, and gives what a start finds to `judge`.
fn for_each_flip(
    disk: &PowerDisk,
    suffix: &str,
    judge: impl Fn(Option<(&LogEngine, Vec<Group>)>, &str),
) {
    for name in disk.file_names().iter().filter(|name| name.ends_with(suffix)) {
        let length = disk.contents(name).expect("it is there").len();
        for byte in 0..length {
            let bit = byte * 8 + byte % 8;
            let place = format!("bit {bit} of {name}");
            match open(&flipped(disk, name, bit)) {
                Ok((engine, _)) => {
                    let groups = all_groups(&engine, engine.size().oldest);
                    judge(Some((&engine, groups)), &place);
                }
                Err(_) => judge(None, &place),
            }
        }
    }
}

#[test]
fn in_a_log_that_was_not_closed_the_last_group_at_most_is_missing() {
    let (disk, written) = filled(false, &[]);
    for_each_flip(&disk, ".log", |found, place| {
        if let Some((_, groups)) = found {
            let without_last = &written[..written.len() - 1];
            assert!(groups == written || groups == without_last, "{place}");
        }
    });
}

#[test]
fn in_a_closed_log_no_group_is_missing() {
    let (disk, written) = filled(true, &[]);
    for_each_flip(&disk, ".log", |found, place| {
        if let Some((_, groups)) = found {
            assert_eq!(groups, written, "{place}");
        }
    });
}

#[test]
fn a_damaged_mark_is_refused() {
    let (disk, _) = filled(true, &[]);
    for_each_flip(&disk, "FORMAT", |found, place| assert!(found.is_none(), "{place}"));
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let (disk, written) = filled(true, &[2, 4]);
    let newest = checkpoint::name(written[4].at);
    for_each_flip(&disk, &newest, |found, place| {
        let Some((engine, groups)) = found else { panic!("{place}") };
        assert_eq!(groups, written, "{place}");
        let latest = engine.latest_checkpoint().expect("readable");
        assert_eq!(latest.checkpoint.map(|found| found.at), Some(written[2].at), "{place}");
    });
}

/// The log was not trimmed in the first case, so it is read from its first byte; in the second it was.
#[test]
fn without_a_whole_checkpoint_the_whole_log_is_needed() {
    let (disk, written) = filled(true, &[2]);
    let name = checkpoint::name(written[2].at);
    for byte in [0, 8, 40, 235, 247] {
        let (engine, opened) = open(&flipped(&disk, &name, 8 * byte)).expect("open");
        let latest = engine.latest_checkpoint().expect("the log is whole");
        let reasons = latest.passed_over.len() + opened.unusable.len();
        assert!(latest.checkpoint.is_none() && reasons == 1, "byte {byte}: {latest:?}");
    }
    let (disk, written) = filled(true, &[5]);
    let (engine, _) = open(&disk).expect("open");
    engine.trim(written[5].at).expect("trim");
    drop(engine);
    let name = checkpoint::name(written[5].at);
    for byte in [0, 8, 40, 235, 247] {
        let found = open(&flipped(&disk, &name, 8 * byte))
            .and_then(|(engine, _)| (0..2).try_for_each(|_| engine.latest_checkpoint().map(drop)));
        assert!(found.is_err(), "byte {byte}");
    }
}

#[track_caller]
fn check_refused(disk: &PowerDisk, name: &str, change: impl FnOnce(&mut Vec<u8>), expected: &str) {
    let copy = disk.settled();
    let mut bytes = copy.contents(name).expect("it is there");
    change(&mut bytes);
    copy.put(name, bytes.clone());
    let error = open(&copy).map(drop).expect_err("it must be refused").to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(copy.contents(name), Some(bytes), "a refused file is not touched");
}

#[test]
fn what_belongs_elsewhere_is_refused_and_not_erased() {
    let (disk, _) = filled(true, &[]);
    let (other, _) = filled(true, &[]);
    let first = Segment::name(Lsn(0));
    let last = disk.file_names().into_iter().rfind(|name| name.ends_with(".log"));
    let last = last.expect("a segment");
    let foreign = other.contents(&last).expect("it is there");
    check_refused(&disk, &last, |bytes| *bytes = foreign, "a group of store");
    let earlier = disk.contents(&first).expect("it is there");
    check_refused(&disk, &last, |bytes| *bytes = earlier, "a group for byte");
    check_refused(&disk, &last, |bytes| bytes[2] = 9, "version 9");
    check_refused(&disk, &first, |bytes| bytes[40] ^= 1, "damaged at byte 32");
    check_refused(&disk, &last, |bytes| bytes[40] ^= 1, "a whole group follows");
}

/// A client may write a value that looks like the group that would lie there. It does not know the store's number.
#[test]
fn a_value_that_looks_like_a_group_does_not_stop_a_start() {
    let disk = PowerDisk::new();
    let (engine, _) = open(&disk).expect("open");
    let (epoch, head) = engine.claim().expect("claim");
    let at = head + 2 * frame::HEADER_BYTES;
    let store = StoreId(!engine.store.0);
    let forged = Header { kind: Kind::Group, at, epoch, store, payload_bytes: 0 };
    let value = [&[1; 32][..], &frame::encode_header(&forged, &[])].concat();
    engine.append(epoch, head, &[&value]).expect("append");
    drop(engine);
    let torn = flipped(&disk.settled(), &Segment::name(Lsn(0)), 8 * 72);
    let (engine, opened) = open(&torn).expect("the last group is torn, as it seems");
    assert_eq!((opened.dropped, all_groups(&engine, Lsn(0)).len()), (Some(head), 0));
}
