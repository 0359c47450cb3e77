//! The contract of an engine as one function: every engine must pass it. Owns no engine; says with a panic what does not hold.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    AppendError, Checkpoint, Engine, EngineError, Epoch, Group, HEADER_BYTES, Lsn, ReadError,
};

/// `make` gives a new, empty engine each time, whose segments are 4 KiB at most.
pub fn check(make: &dyn Fn() -> Arc<dyn Engine>) {
    new_is_empty(make().as_ref());
    appends_are_arithmetic(make().as_ref());
    lower_epochs_are_fenced(make().as_ref());
    places_must_fit(make().as_ref());
    ranges_are_read(make().as_ref());
    groups_come_in_order(make().as_ref());
    trim_keeps_what_a_checkpoint_needs(make().as_ref());
    pins_outlive_a_trim(make().as_ref());
    newest_checkpoint_is_found(make().as_ref());
    readers_see_what_was_acknowledged(&make());
    deferred_ones_are_as_others(make().as_ref());
    closed_takes_nothing(make().as_ref());
}

/// Bytes that say which group they belong to.
pub fn payload(number: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|index| (number.wrapping_mul(31) + index * 7 + 1) as u8).collect()
}

/// All groups from a place on; no error may be among them.
#[track_caller]
pub fn all_groups(engine: &dyn Engine, from: Lsn) -> Vec<Group> {
    let groups = engine.groups(from).expect("invariant: groups from a border");
    groups.collect::<Result<_, _>>().expect("invariant: every group is whole")
}

/// None may have been passed over.
#[track_caller]
pub fn newest_checkpoint(engine: &dyn Engine) -> Option<Checkpoint> {
    let latest = engine.latest_checkpoint().expect("invariant: a checkpoint or none");
    assert!(latest.passed_over.is_empty(), "{latest:?}");
    latest.checkpoint
}

struct Writer<'a> {
    engine: &'a dyn Engine,
    epoch: Epoch,
    head: Lsn,
    written: Vec<Group>,
}

impl<'a> Writer<'a> {
    fn claim(engine: &'a dyn Engine) -> Self {
        let (epoch, head) = engine.claim().expect("invariant: claim");
        Self { engine, epoch, head, written: Vec::new() }
    }

    fn append(&mut self, length: usize) -> Lsn {
        let (at, number) = (self.head, self.written.len() as u64);
        let payload = payload(number, length);
        let (left, right) = payload.split_at(length / 3);
        self.head =
            self.engine.append(self.epoch, at, &[left, &[], right]).expect("invariant: append");
        assert_eq!(self.head, at + HEADER_BYTES + length as u64, "the head is arithmetic");
        self.written.push(Group { at, epoch: self.epoch, payload: payload.into() });
        at
    }
}

fn new_is_empty(engine: &dyn Engine) {
    let size = engine.size();
    assert_eq!((engine.epoch(), size.head, size.oldest), (Epoch(0), Lsn(0), Lsn(0)));
    assert_eq!(all_groups(engine, Lsn(0)), []);
    assert!(newest_checkpoint(engine).is_none());
    assert!(matches!(engine.read(Lsn(0), 1), Err(ReadError::BeyondHead { .. })));
    engine.trim(Lsn(0)).expect("invariant: there is nothing to trim");
    let unclaimed = engine.append(Epoch(0), Lsn(0), &[b"x"]);
    assert!(matches!(unclaimed, Err(AppendError::Fenced { by: Epoch(0) })), "{unclaimed:?}");
}

fn appends_are_arithmetic(engine: &dyn Engine) {
    let mut writer = Writer::claim(engine);
    for length in [0, 1, 2, 511, 512, 513, 4000, 4096, 5, 100_000, 7] {
        writer.append(length);
        assert_eq!(engine.size().head, writer.head);
    }
    assert_eq!(all_groups(engine, Lsn(0)), writer.written);
}

fn lower_epochs_are_fenced(engine: &dyn Engine) {
    let mut old = Writer::claim(engine);
    old.append(10);
    let mut new = Writer::claim(engine);
    assert!(new.epoch > old.epoch && engine.epoch() == new.epoch);
    let fenced = engine.append(old.epoch, new.head, &[b"late"]);
    assert!(matches!(fenced, Err(AppendError::Fenced { by }) if by == new.epoch), "{fenced:?}");
    new.append(11);
    let unknown = Epoch(new.epoch.0 + 1);
    let fenced = engine.append(unknown, new.head, &[b"nobody claimed it"]);
    assert!(matches!(fenced, Err(AppendError::Fenced { .. })), "{fenced:?}");
    let expected: Vec<Group> = old.written.into_iter().chain(new.written).collect();
    assert_eq!(all_groups(engine, Lsn(0)), expected);
}

fn places_must_fit(engine: &dyn Engine) {
    let mut writer = Writer::claim(engine);
    let first = writer.append(10);
    for at in [first, Lsn(writer.head.0 - 1), writer.head + 1] {
        let gap = engine.append(writer.epoch, at, &[b"x"]);
        let expected =
            matches!(gap, Err(AppendError::Gap { expected, .. }) if expected == writer.head);
        assert!(expected, "{gap:?}");
    }
    writer.append(3);
}

fn ranges_are_read(engine: &dyn Engine) {
    let mut writer = Writer::claim(engine);
    for length in [100, 4000, 0, 9000, 1] {
        writer.append(length);
    }
    for group in &writer.written {
        let length = group.payload.len();
        for (skip, count) in [(0, length), (0, length / 2), (length / 3, length / 3), (length, 0)] {
            let bytes = engine.read(group.payload_at() + skip as u64, count);
            if count == 0 && bytes.is_err() {
                continue;
            }
            assert_eq!(
                bytes.expect("invariant: a range of a payload"),
                group.payload.slice(skip..skip + count)
            );
        }
    }
    for (at, length) in [(writer.head, 1), (Lsn(writer.head.0 - 1), 2), (Lsn(u64::MAX), 1)] {
        let beyond = engine.read(at, length);
        assert!(matches!(beyond, Err(ReadError::BeyondHead { .. })), "{at:?} {beyond:?}");
    }
}

fn groups_come_in_order(engine: &dyn Engine) {
    let mut writer = Writer::claim(engine);
    for index in 0..40 {
        writer.append(index * 13 % 700);
    }
    for (index, group) in writer.written.iter().enumerate() {
        assert_eq!(all_groups(engine, group.at), writer.written[index..]);
    }
    let open = engine.groups(writer.head).expect("invariant: from the head");
    writer.append(5);
    assert_eq!(open.count(), 0, "the head is that of the call");
    let beyond = engine.groups(writer.head + 1).map(drop);
    assert!(matches!(beyond, Err(EngineError::BeyondHead { .. })), "{beyond:?}");
}

fn trim_keeps_what_a_checkpoint_needs(engine: &dyn Engine) {
    let mut writer = Writer::claim(engine);
    for _ in 0..40 {
        writer.append(1000);
    }
    engine.trim(writer.head).expect("invariant: trim without a checkpoint");
    assert_eq!(engine.size().oldest, Lsn(0), "nothing goes before there is a checkpoint");
    let (first, second) = (writer.written[20].at, writer.written[30].at);
    engine
        .write_checkpoint(first, &mut |body| body.write_all(b"first"))
        .expect("invariant: checkpoint");
    engine
        .write_checkpoint(second, &mut |body| body.write_all(b"second"))
        .expect("invariant: checkpoint");
    engine.trim(writer.head).expect("invariant: trim");
    let oldest = engine.size().oldest;
    assert!(oldest > Lsn(0) && oldest <= first, "{oldest:?}");
    engine.trim(writer.written[2].at).expect("invariant: a lower bound than before");
    assert_eq!(engine.size().oldest, oldest);
    assert_eq!(all_groups(engine, first), writer.written[20..]);
    let read = engine.read(writer.written[0].payload_at(), 1);
    assert!(matches!(read, Err(ReadError::Trimmed { .. })), "{read:?}");
    let groups = engine.groups(Lsn(0)).map(drop);
    assert!(matches!(groups, Err(EngineError::Trimmed { .. })), "{groups:?}");
    writer.append(9);
}

fn pins_outlive_a_trim(engine: &dyn Engine) {
    let mut writer = Writer::claim(engine);
    for _ in 0..20 {
        writer.append(1000);
    }
    let pin = engine.pin();
    let later = writer.append(1000);
    engine.write_checkpoint(writer.head, &mut |_| Ok(())).expect("invariant: checkpoint");
    engine.trim(writer.head).expect("invariant: trim");
    let first = &writer.written[0];
    assert!(engine.read(first.payload_at(), 1000).is_err(), "it was trimmed");
    assert_eq!(
        pin.clone().read(first.payload_at(), 1000).expect("invariant: pinned"),
        first.payload
    );
    let beyond = pin.read(later + HEADER_BYTES, 1);
    assert!(matches!(beyond, Err(ReadError::BeyondHead { .. })), "{beyond:?}");
}

fn newest_checkpoint_is_found(engine: &dyn Engine) {
    let mut writer = Writer::claim(engine);
    for number in 0..4_u64 {
        writer.append(100);
        let body = payload(number, 300_000);
        let mut write = |sink: &mut dyn std::io::Write| {
            body.chunks(999).try_for_each(|part| sink.write_all(part))
        };
        engine.write_checkpoint(writer.head, &mut write).expect("invariant: checkpoint");
        let mut found = newest_checkpoint(engine).expect("invariant: there is one");
        let mut bytes = Vec::new();
        found.body.read_to_end(&mut bytes).expect("invariant: readable");
        assert!(found.at == writer.head && bytes == body);
    }
    let failed = engine.write_checkpoint(writer.head, &mut |_| Err(std::io::Error::other("no")));
    assert!(matches!(failed, Err(EngineError::Io { .. })), "{failed:?}");
    let found = newest_checkpoint(engine).expect("invariant: the one before stays");
    assert_eq!(found.at, writer.head);
    let beyond = engine.write_checkpoint(writer.head + 1, &mut |_| Ok(()));
    assert!(matches!(beyond, Err(EngineError::BeyondHead { .. })), "{beyond:?}");
}

fn readers_see_what_was_acknowledged(engine: &Arc<dyn Engine>) {
    let (sender, receiver) = std::sync::mpsc::channel::<Group>();
    let reading = Arc::clone(engine);
    let reader = std::thread::spawn(move || {
        for group in receiver {
            let bytes = reading
                .read(group.payload_at(), group.payload.len())
                .expect("invariant: acknowledged");
            assert_eq!(bytes, group.payload);
            assert_eq!(all_groups(reading.as_ref(), group.at).first(), Some(&group));
        }
    });
    let mut writer = Writer::claim(engine.as_ref());
    for index in 0..200 {
        writer.append(index * 37 % 900);
        sender.send(writer.written[index].clone()).expect("invariant: the reader lives");
    }
    drop(sender);
    reader.join().expect("invariant: the reader saw every group");
}

fn deferred_ones_are_as_others(engine: &dyn Engine) {
    let mut writer = Writer::claim(engine);
    for length in [10, 900, 0, 40] {
        writer.append(length);
        let payload = Bytes::from(payload(length as u64, length));
        let at = writer.head;
        let deferred = engine.append_deferred(writer.epoch, at, &[&payload]);
        writer.head = deferred.expect("invariant: append");
        assert_eq!(writer.head, at + HEADER_BYTES + length as u64);
        let read = engine.read(at + HEADER_BYTES, length).expect("invariant: readable");
        assert_eq!(read, payload);
        writer.written.push(Group { at, epoch: writer.epoch, payload });
    }
    assert_eq!(all_groups(engine, Lsn(0)), writer.written);
    engine.sync().expect("invariant: sync");
    let gap = engine.append_deferred(writer.epoch, writer.head + 1, &[b"x"]);
    assert!(matches!(gap, Err(AppendError::Gap { .. })), "{gap:?}");
    let mut new = Writer::claim(engine);
    let fenced = engine.append_deferred(writer.epoch, new.head, &[b"late"]);
    assert!(matches!(fenced, Err(AppendError::Fenced { .. })), "{fenced:?}");
    new.append(1);
}

fn closed_takes_nothing(engine: &dyn Engine) {
    let mut writer = Writer::claim(engine);
    writer.append(10);
    engine.close().expect("invariant: close");
    let head = engine.size().head;
    let late = engine.append(writer.epoch, head, &[b"late"]);
    assert!(matches!(late, Err(AppendError::Broken { .. })), "{late:?}");
    let late = engine.claim();
    assert!(matches!(late, Err(EngineError::Broken { .. })), "{late:?}");
    assert_eq!(all_groups(engine, Lsn(0)), writer.written);
}
