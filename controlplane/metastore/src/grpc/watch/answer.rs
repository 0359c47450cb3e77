//! Answers of a stream of watches as bytes. Pure but for values from before, which are read where a watch wants them.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use proto::etcd::etcdserverpb::{ResponseHeader, WatchResponse};

use crate::engine::ReadError;
use crate::mvcc::Revision;
use crate::range::Values as _;
use crate::store::Committed;
use crate::watch::{Batch, Matched};

/// Which events a watch has, and how it has them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) start: Revision,
    pub(super) with_previous: bool,
    pub(super) no_put: bool,
    pub(super) no_delete: bool,
}

impl Wanted {
    fn has(&self, matched: &Matched) -> bool {
        let is_deletion = matched.event().version.is_deletion();
        let is_filtered = if is_deletion { self.no_delete } else { self.no_put };
        matched.happening.revision >= self.start && !is_filtered
    }

    fn is_all_of(&self, batch: &Batch) -> bool {
        let is_filtered = self.no_put || self.no_delete;
        !is_filtered && batch.first_from(self.start) == batch.first_from(Revision::MIN)
    }
}

/// What a watch wants of a batch, one event behind the other; shared by all who want all of it.
pub(super) fn of_batch(
    committed: &Committed,
    batch: &Batch,
    wanted: Wanted,
) -> Result<Bytes, ReadError> {
    if !wanted.is_all_of(batch) {
        return Ok(joined(of_events(committed, batch.matched.iter(), wanted)?));
    }
    let slot = &batch.encoded[usize::from(wanted.with_previous)];
    if let Some(bytes) = slot.get() {
        return Ok(bytes.clone());
    }
    let bytes = joined(of_events(committed, batch.matched.iter(), wanted)?);
    Ok(slot.get_or_init(|| bytes).clone())
}

/// One by one.
pub(super) fn of_events<'a>(
    committed: &Committed,
    events: impl Iterator<Item = &'a Matched>,
    wanted: Wanted,
) -> Result<Vec<Bytes>, ReadError> {
    let of = |matched: &Matched| {
        let event = matched.event();
        let previous = |version: &_| committed.value(&event.key, version);
        event.encoded(wanted.with_previous, previous)
    };
    events.filter(|matched| wanted.has(matched)).map(of).collect()
}

pub(super) fn joined(events: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(events) {
        Ok([only]) => only,
        Err(events) => {
            let mut all = BytesMut::with_capacity(events.iter().map(Bytes::len).sum());
            events.into_iter().for_each(|event| all.put(event));
            all.freeze()
        }
    }
}

/// Events in parts that are not much larger than `most_bytes`.
pub(super) fn parts(events: Vec<Bytes>, most_bytes: usize) -> Vec<Bytes> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for event in events {
        if bytes > 0 && bytes + event.len() > most_bytes {
            parts.push(joined(std::mem::take(&mut part)));
            bytes = 0;
        }
        bytes += event.len();
        part.push(event);
    }
    parts.push(joined(part));
    parts
}

/// An answer with events that are bytes already.
pub(super) fn with_events(
    header: ResponseHeader,
    watch_id: i64,
    (events, fragment): (&Bytes, bool),
) -> Bytes {
    let head = WatchResponse { header: Some(header), watch_id, fragment, ..Default::default() };
    let mut bytes = BytesMut::with_capacity(head.encoded_len() + events.len());
    // Fields may come in any order, and those of the head are before the events.
    if let Err(error) = head.encode(&mut bytes) {
        tracing::error!(%error, "A buffer that grows is too short");
    }
    bytes.put_slice(events);
    bytes.freeze()
}
