//! Segments: files named by the place of their first byte, and reading from a row of them. Owns names, lookup and the walk over groups;
//! what an invalid group means is recovery's business.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::checkpoint::TEMPORARY_SUFFIX;
use super::disk::{Disk, DiskFile, read_exact_at};
use super::frame::{self, HEADER_BYTES, Header, Invalid, StoreId};
use super::{EngineError, Group, Lsn, Pinned, ReadError};

const SUFFIX: &str = ".log";

/// One read of a walk. Large enough to be bound by the checksum, small enough for many slow watchers at once.
const CHUNK_BYTES: u64 = 256 << 10;

/// What a finished segment has after its last group. Not none: a power cut while a failed group is erased can leave a file that ends with
/// its last group, and that one has no successor.
pub(super) const FINISHED_BYTES: u64 = 1;

/// What a segment that is written always has after its last group, at least: more than a finished one.
pub(super) const ROOM_LEFT_BYTES: u64 = 2;

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) base: Lsn,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    /// The length of the file, preallocated room included. Only the writer changes it.
    length: AtomicU64,
}

/// All segments in order, without a hole; never empty. The last one is the one that is written.
pub(super) type Row = Vec<Arc<Segment>>;

/// A row up to the head of one moment.
#[derive(Debug)]
pub(super) struct View {
    pub(super) row: Arc<Row>,
    pub(super) head: Lsn,
}

impl Segment {
    pub(super) fn name(base: Lsn) -> String {
        format!("{:020}{SUFFIX}", base.0)
    }

    /// The place that a file's name says, if it is a segment's.
    pub(super) fn base_of(name: &str) -> Option<Lsn> {
        number_of(name, SUFFIX)
    }

    pub(super) fn open(disk: &dyn Disk, base: Lsn) -> Result<Self, EngineError> {
        let name = Self::name(base);
        let path = disk.path(&name);
        let opened = disk.open(&name).and_then(|file| Ok((file.length()?, file)));
        let (length, file) = opened.map_err(EngineError::io("open", &path))?;
        Ok(Self { base, path, file, length: AtomicU64::new(length) })
    }

    /// A durable empty file of `length` bytes that has a temporary name until `give_name`, so there never is a half-made segment.
    pub(super) fn prepare(disk: &dyn Disk, base: Lsn, length: u64) -> std::io::Result<Self> {
        let name = Self::name(base);
        let file = disk.create(&format!("{name}{TEMPORARY_SUFFIX}"))?;
        file.allocate(length)?;
        file.sync_all()?;
        Ok(Self { base, path: disk.path(&name), file, length: AtomicU64::new(length) })
    }

    /// Durable. After an error it is unknown which name the file has.
    pub(super) fn give_name(&self, disk: &dyn Disk) -> std::io::Result<()> {
        let name = Self::name(self.base);
        disk.rename(&format!("{name}{TEMPORARY_SUFFIX}"), &name)?;
        disk.sync_folder()
    }

    pub(super) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    pub(super) fn set_known_length(&self, length: u64) {
        self.length.store(length, Ordering::Release);
    }

    /// Zeros from `offset` on, durable: whatever lay there never comes back. Cutting needs no room on the device, unlike writing zeros.
    pub(super) fn erase_from(&self, offset: u64) -> std::io::Result<()> {
        let length = self.length().max(offset + ROOM_LEFT_BYTES);
        self.file.set_length(offset)?;
        if self.file.allocate(length).is_err() {
            self.file.set_length(length)?;
        }
        self.file.sync_all()?;
        self.set_known_length(length);
        Ok(())
    }

    /// Marks it as complete, durable: one zero byte stays of the room after `used` bytes of groups.
    pub(super) fn finish(&self, used: u64) -> std::io::Result<()> {
        self.file.set_length(used + FINISHED_BYTES)?;
        self.file.sync_all()?;
        self.set_known_length(used + FINISHED_BYTES);
        Ok(())
    }

    pub(super) fn damaged(&self, at: Lsn, reason: impl Into<String>) -> EngineError {
        let offset = at.0 - self.base.0;
        EngineError::Damaged { path: self.path.clone(), offset, reason: reason.into() }
    }
}

impl View {
    pub(super) fn oldest(&self) -> Lsn {
        self.row[0].base
    }

    /// The segment that holds `at`, and where it ends.
    pub(super) fn find(&self, at: Lsn) -> Option<(usize, Lsn)> {
        let index = self.row.partition_point(|segment| segment.base <= at).checked_sub(1)?;
        Some((index, self.row.get(index + 1).map_or(self.head, |next| next.base)))
    }
}

impl Pinned for View {
    fn read(&self, at: Lsn, length: usize) -> Result<Bytes, ReadError> {
        let Some((index, end)) = self.find(at) else {
            return Err(ReadError::Trimmed { at, oldest: self.oldest() });
        };
        let Some(to) = at.0.checked_add(length as u64).filter(|&to| to <= self.head.0) else {
            return Err(ReadError::BeyondHead { at, length, head: self.head });
        };
        if to > end.0 {
            return Err(ReadError::NotOnePayload { at, length });
        }
        let segment = &self.row[index];
        let offset = at.0 - segment.base.0;
        let mut buffer = vec![0; length];
        read_exact_at(segment.file.as_ref(), &mut buffer, offset).map_err(|source| {
            ReadError::Io { path: segment.path.clone(), offset, length, source }
        })?;
        Ok(buffer.into())
    }
}

/// What lies at the place where a walk stands.
pub(super) enum Found {
    Whole {
        header: Header,
        bytes: Bytes,
    },
    Invalid(Invalid),
    /// The end of what the walk may look at.
    End,
}

/// Walks over the groups of one segment.
pub(super) struct Walk {
    segment: Arc<Segment>,
    store: StoreId,
    at: Lsn,
    end: Lsn,
    buffer: Bytes,
    buffer_at: Lsn,
}

impl Walk {
    pub(super) fn new(segment: &Arc<Segment>, store: StoreId, at: Lsn, end: Lsn) -> Self {
        Self { segment: Arc::clone(segment), store, at, end, buffer: Bytes::new(), buffer_at: at }
    }

    pub(super) fn at(&self) -> Lsn {
        self.at
    }

    pub(super) fn next(&mut self) -> Result<Found, EngineError> {
        if self.at == self.end {
            return Ok(Found::End);
        }
        let Some(head) = self.fetch(HEADER_BYTES)? else {
            return Ok(Found::Invalid(Invalid::Short));
        };
        let header = match frame::decode(&head, self.at, self.store) {
            Ok(header) => header,
            Err(invalid) => return Ok(Found::Invalid(invalid)),
        };
        let Some(bytes) = self.fetch(header.total_bytes())? else {
            return Ok(Found::Invalid(Invalid::Length(header.payload_bytes)));
        };
        if let Err(invalid) = frame::verify(&header, &bytes) {
            return Ok(Found::Invalid(invalid));
        }
        self.at = self.at + header.total_bytes();
        Ok(Found::Whole { header, bytes })
    }

    /// The next `count` bytes, or none if the walk ends before.
    fn fetch(&mut self, count: u64) -> Result<Option<Bytes>, EngineError> {
        let left = self.end.0 - self.at.0;
        if count > left {
            return Ok(None);
        }
        let skip = self.at.0 - self.buffer_at.0;
        if skip + count > self.buffer.len() as u64 {
            let wanted = count.max(CHUNK_BYTES).min(left);
            let mut buffer =
                vec![0; usize::try_from(wanted).expect("invariant: a group fits into memory")];
            let offset = self.at.0 - self.segment.base.0;
            read_exact_at(self.segment.file.as_ref(), &mut buffer, offset)
                .map_err(EngineError::io("read", &self.segment.path))?;
            (self.buffer, self.buffer_at) = (buffer.into(), self.at);
            return Ok(Some(self.buffer.slice(..count as usize)));
        }
        Ok(Some(self.buffer.slice(skip as usize..(skip + count) as usize)))
    }
}

/// The caller's groups of a view, over the borders of segments. Stops after an error.
pub(super) struct GroupsOf {
    view: View,
    store: StoreId,
    index: usize,
    walk: Option<Walk>,
}

impl GroupsOf {
    pub(super) fn new(view: View, store: StoreId, from: Lsn) -> Result<Self, EngineError> {
        let Some((index, end)) = view.find(from) else {
            return Err(EngineError::Trimmed { at: from, oldest: view.oldest() });
        };
        if from > view.head {
            return Err(EngineError::BeyondHead { at: from, head: view.head });
        }
        let walk = Some(Walk::new(&view.row[index], store, from, end));
        Ok(Self { view, store, index, walk })
    }

    fn next_segment(&mut self) {
        self.index += 1;
        self.walk =
            self.view.row.get(self.index).filter(|segment| segment.base < self.view.head).map(
                |segment| {
                    let end =
                        self.view.row.get(self.index + 1).map_or(self.view.head, |next| next.base);
                    Walk::new(segment, self.store, segment.base, end.min(self.view.head))
                },
            );
    }
}

impl Iterator for GroupsOf {
    type Item = Result<Group, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let walk = self.walk.as_mut()?;
            match walk.next() {
                Ok(Found::Whole { header, bytes }) if header.kind.has_payload() => {
                    let payload = bytes.slice(HEADER_BYTES as usize..);
                    return Some(Ok(Group { at: header.at, epoch: header.epoch, payload }));
                }
                Ok(Found::Whole { .. }) => {}
                Ok(Found::End) => self.next_segment(),
                Ok(Found::Invalid(reason)) => {
                    let at = walk.at();
                    self.walk = None;
                    return Some(Err(self.view.row[self.index].damaged(at, reason.to_string())));
                }
                Err(error) => {
                    self.walk = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The number in names like `00000000000000000042.log`.
pub(super) fn number_of(name: &str, suffix: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok().map(Lsn)).flatten()
}
