//! `log://`: the engine over one local folder. Owns appending, rolling over to a new segment, trimming and checkpoints while the folder is
//! open; opening is recovery's.
//!
//! Readers take an `Arc` of the row of segments and the head, and never wait for the writer.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use super::checkpoint::{self, Kept};
use super::disk::{Disk, Folder};
use super::frame::{self, Header, Kind, MAX_PAYLOAD_BYTES, StoreId};
use super::recovery::{self, Opened};
use super::segment::{GroupsOf, ROOM_LEFT_BYTES, Row, Segment, View};
use super::{
    AppendError, Checkpoint, Engine, EngineError, Epoch, Groups, Latest, Lsn, Pin, Pinned,
    ReadError, Size, WriteBody,
};

#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// The room reserved for each segment; also the grain of trimming.
    pub segment_bytes: u64,
}

/// How many checkpoints stay: the newest, and one to fall back to.
const CHECKPOINTS_KEPT: usize = 2;

#[derive(Debug)]
pub struct LogEngine {
    disk: Arc<dyn Disk>,
    store: StoreId,
    options: LogOptions,
    row: RwLock<Arc<Row>>,
    head: AtomicU64,
    epoch: AtomicU64,
    writer: Mutex<Writer>,
    /// Usable ones, oldest first.
    checkpoints: Mutex<Vec<Kept>>,
    /// Held while a checkpoint is written or verified, which takes long.
    checkpointing: Mutex<()>,
    /// Segments that are in no row any more and whose files are still there, oldest first.
    to_remove: Mutex<VecDeque<Lsn>>,
    _lock: Box<dyn Debug + Send + Sync>,
}

/// The state of the one that appends.
#[derive(Debug)]
struct Writer {
    segment: Arc<Segment>,
    /// Groups of the segment wait for the next sync.
    has_deferred: bool,
    /// Why no write is taken any more.
    broken: Option<String>,
}

impl LogEngine {
    /// Opens or makes the log in a folder.
    pub fn open(folder: &Path, options: LogOptions) -> Result<(Self, Opened), EngineError> {
        let disk = Folder::open(folder).map_err(EngineError::io("open", folder))?;
        Self::open_on(Arc::new(disk), options)
    }

    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: LogOptions,
    ) -> Result<(Self, Opened), EngineError> {
        let recovered = recovery::open(disk.as_ref(), options.segment_bytes)?;
        let segment = Arc::clone(recovered.row.last().expect("invariant: a row is never empty"));
        let engine = Self {
            disk,
            store: recovered.store,
            options,
            row: RwLock::new(Arc::new(recovered.row)),
            head: AtomicU64::new(recovered.opened.head.0),
            epoch: AtomicU64::new(recovered.epoch.0),
            writer: Mutex::new(Writer { segment, has_deferred: false, broken: None }),
            checkpoints: Mutex::new(recovered.checkpoints),
            checkpointing: Mutex::new(()),
            to_remove: Mutex::new(VecDeque::new()),
            _lock: recovered.lock,
        };
        Ok((engine, recovered.opened))
    }

    /// Where the checkpoints are that are kept, oldest first.
    pub fn checkpoints(&self) -> Vec<Lsn> {
        self.kept().iter().map(|checkpoint| checkpoint.at).collect()
    }

    /// One of them, whose checksum is right.
    pub fn checkpoint(&self, at: Lsn) -> Result<Checkpoint, EngineError> {
        let body = checkpoint::read(self.disk.as_ref(), self.store, at)?;
        Ok(Checkpoint { at, body: Box::new(body) })
    }

    fn head(&self) -> Lsn {
        Lsn(self.head.load(Ordering::Acquire))
    }

    /// The head first: what lies before it is in every row that is taken after, unless it was trimmed.
    fn view(&self) -> View {
        let head = self.head();
        let row = Arc::clone(&self.row.read().unwrap_or_else(PoisonError::into_inner));
        View { row, head }
    }

    fn change_row(&self, change: impl FnOnce(&mut Row)) {
        let mut guard = self.row.write().unwrap_or_else(PoisonError::into_inner);
        let mut row = Row::clone(&guard);
        change(&mut row);
        *guard = Arc::new(row);
    }

    /// Writes one group at the head, and makes it and those before it durable if it is not to be deferred.
    fn put(
        &self,
        writer: &mut Writer,
        kind: Kind,
        epoch: Epoch,
        payload: &[&[u8]],
    ) -> Result<Lsn, AppendError> {
        let at = self.head();
        let payload_bytes = payload.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let payload_bytes = u32::try_from(payload_bytes)
            .ok()
            .filter(|&bytes| bytes <= MAX_PAYLOAD_BYTES)
            .ok_or_else(|| too_long(payload_bytes))?;
        let header = Header { kind, at, epoch, store: self.store, payload_bytes };
        self.make_room(writer, at, header.total_bytes())?;
        let head_bytes = frame::encode_header(&header, payload);
        let pieces: Vec<&[u8]> =
            std::iter::once(&head_bytes[..]).chain(payload.iter().copied()).collect();
        let offset = at.0 - writer.segment.base.0;
        if let Err(source) = writer.segment.file.write_at(&pieces, offset) {
            return Err(match writer.segment.erase_from(offset) {
                Ok(()) => AppendError::NotWritten { source },
                Err(erasing) => writer.break_with("erasing a group that failed", erasing),
            });
        }
        writer.has_deferred = true;
        if kind != Kind::Deferred {
            writer.sync()?;
        }
        let head = at + header.total_bytes();
        self.head.store(head.0, Ordering::Release);
        Ok(head)
    }

    /// A group never begins in one segment and ends in the next.
    fn make_room(&self, writer: &mut Writer, at: Lsn, bytes: u64) -> Result<(), AppendError> {
        let used = at.0 - writer.segment.base.0;
        if used + bytes + ROOM_LEFT_BYTES <= writer.segment.length() {
            return Ok(());
        }
        let length = self.options.segment_bytes.max(bytes + ROOM_LEFT_BYTES);
        if used == 0 {
            let file = &writer.segment.file;
            file.allocate(length).map_err(|source| AppendError::NotWritten { source })?;
            let synced = file.sync_all();
            synced.map_err(|source| writer.break_with("fsync", source))?;
            writer.segment.set_known_length(length);
            return Ok(());
        }
        self.roll_over(writer, at, length)
    }

    fn roll_over(&self, writer: &mut Writer, at: Lsn, length: u64) -> Result<(), AppendError> {
        // A segment that is not the last one is whole, also if the power goes right after the next one has its name.
        writer.sync()?;
        let next = Segment::prepare(self.disk.as_ref(), at, length);
        let next = Arc::new(next.map_err(|source| AppendError::NotWritten { source })?);
        // If it is unknown whether the file has its name, no group may go anywhere else.
        let named = next.give_name(self.disk.as_ref());
        named.map_err(|source| writer.break_with("naming a segment", source))?;
        let finished = writer.segment.finish(at.0 - writer.segment.base.0);
        finished.map_err(|source| writer.break_with("finishing a segment", source))?;
        self.change_row(|row| row.push(Arc::clone(&next)));
        writer.segment = next;
        Ok(())
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, io::Error> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match &writer.broken {
            Some(reason) => Err(io::Error::other(reason.clone())),
            None => Ok(writer),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest_kept(&self) -> Option<Lsn> {
        self.kept().last().map(|checkpoint| checkpoint.at)
    }

    fn append_as(
        &self,
        kind: Kind,
        epoch: Epoch,
        at: Lsn,
        payload: &[&[u8]],
    ) -> Result<Lsn, AppendError> {
        let mut writer = self.writer().map_err(|source| AppendError::Broken { source })?;
        if epoch != self.epoch() || epoch == Epoch(0) {
            return Err(AppendError::Fenced { by: self.epoch() });
        }
        if at != self.head() {
            return Err(AppendError::Gap { expected: self.head(), at });
        }
        let kind = match kind {
            Kind::Group if writer.has_deferred => Kind::Covering,
            kind => kind,
        };
        self.put(&mut writer, kind, epoch, payload)
    }

    fn checkpointing(&self) -> MutexGuard<'_, ()> {
        self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_all_checkpoints_but(&self, kept: &[Kept]) -> io::Result<()> {
        for name in self.disk.list()? {
            let Some(at) = checkpoint::at_of(&name) else { continue };
            if !kept.iter().any(|checkpoint| checkpoint.at == at) {
                self.disk.remove(&name)?;
            }
        }
        self.disk.sync_folder()
    }
}

impl Engine for LogEngine {
    fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    fn claim(&self) -> Result<(Epoch, Lsn), EngineError> {
        let mut writer = self.writer().map_err(|source| EngineError::Broken { source })?;
        let epoch = Epoch(self.epoch().0 + 1);
        let synced = writer.sync();
        let claimed = synced.and_then(|()| self.put(&mut writer, Kind::Claim, epoch, &[]));
        let head = claimed.map_err(|error| match error {
            AppendError::Broken { source } => EngineError::Broken { source },
            other => {
                let source = io::Error::other(other);
                EngineError::Io { operation: "claim", path: writer.segment.path.clone(), source }
            }
        })?;
        self.epoch.store(epoch.0, Ordering::Release);
        Ok((epoch, head))
    }

    fn append(&self, epoch: Epoch, at: Lsn, payload: &[&[u8]]) -> Result<Lsn, AppendError> {
        self.append_as(Kind::Group, epoch, at, payload)
    }

    fn append_deferred(
        &self,
        epoch: Epoch,
        at: Lsn,
        payload: &[&[u8]],
    ) -> Result<Lsn, AppendError> {
        self.append_as(Kind::Deferred, epoch, at, payload)
    }

    fn sync(&self) -> Result<(), AppendError> {
        let mut writer = self.writer().map_err(|source| AppendError::Broken { source })?;
        writer.sync()
    }

    fn read(&self, at: Lsn, length: usize) -> Result<Bytes, ReadError> {
        self.view().read(at, length)
    }

    fn groups(&self, from: Lsn) -> Result<Groups, EngineError> {
        Ok(Box::new(GroupsOf::new(self.view(), self.store, from)?))
    }

    fn trim(&self, before: Lsn) -> Result<(), EngineError> {
        let mut to_remove = self.to_remove.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest_kept = self.kept().first().map_or(Lsn(0), |checkpoint| checkpoint.at);
        let limit = before.min(oldest_kept);
        self.change_row(|row| {
            let ends = row.iter().skip(1).map(|next| next.base);
            let gone = ends.take_while(|&end| end <= limit).count();
            to_remove.extend(row.drain(..gone).map(|segment| segment.base));
        });
        // One by one and each durable, and none is passed over that failed before: what stays must have no hole.
        while let Some(name) = to_remove.front().map(|&base| Segment::name(base)) {
            let removed = match self.disk.remove(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            };
            removed
                .and_then(|()| self.disk.sync_folder())
                .map_err(EngineError::io("remove", &self.disk.path(&name)))?;
            to_remove.pop_front();
        }
        Ok(())
    }

    fn pin(&self) -> Pin {
        Pin(Arc::new(self.view()))
    }

    fn size(&self) -> Size {
        let view = self.view();
        let of_segments: u64 = view.row.iter().map(|segment| segment.length()).sum();
        let of_checkpoints: u64 = self.kept().iter().map(|checkpoint| checkpoint.bytes).sum();
        Size {
            bytes_on_disk: of_segments + of_checkpoints,
            bytes_in_use: view.head.0 - view.oldest().0,
            head: view.head,
            oldest: view.oldest(),
        }
    }

    fn folder(&self) -> Option<PathBuf> {
        Some(self.disk.path(""))
    }

    fn write_checkpoint(&self, at: Lsn, write: &mut WriteBody<'_>) -> Result<(), EngineError> {
        let head = self.head();
        if at > head {
            return Err(EngineError::BeyondHead { at, head });
        }
        // It must not point behind what a power cut leaves.
        self.sync().map_err(|error| EngineError::Broken { source: io::Error::other(error) })?;
        let _one_at_a_time = self.checkpointing();
        let written = checkpoint::write(self.disk.as_ref(), self.store, at, self.epoch(), write)?;
        let kept = {
            let mut kept = self.kept();
            kept.retain(|checkpoint| checkpoint.at != at);
            kept.push(written);
            kept.sort_by_key(|checkpoint| checkpoint.at);
            let excess = kept.len().saturating_sub(CHECKPOINTS_KEPT);
            kept.drain(..excess);
            kept.clone()
        };
        self.remove_all_checkpoints_but(&kept)
            .map_err(EngineError::io("remove old checkpoints from", &self.disk.path("")))
    }

    fn latest_checkpoint(&self) -> Result<Latest, EngineError> {
        let _one_at_a_time = self.checkpointing();
        let mut passed_over = Vec::new();
        while let Some(at) = self.newest_kept() {
            match checkpoint::read(self.disk.as_ref(), self.store, at) {
                Ok(body) => {
                    let checkpoint = Some(Checkpoint { at, body: Box::new(body) });
                    return Ok(Latest { checkpoint, passed_over });
                }
                Err(error) => passed_over.push(error),
            }
            // Not counted among the kept ones any more, so the next one that is written does not push a good one out.
            self.kept().pop();
        }
        let oldest = self.view().oldest();
        if oldest > Lsn(0) {
            let missing =
                EngineError::Missing { folder: self.disk.path(""), from: Lsn(0), to: oldest };
            return Err(passed_over.into_iter().next().unwrap_or(missing));
        }
        Ok(Latest { checkpoint: None, passed_over })
    }

    fn close(&self) -> Result<(), EngineError> {
        let mut writer = self.writer().map_err(|source| EngineError::Broken { source })?;
        let synced = writer.sync();
        let sealed = synced.and_then(|()| self.put(&mut writer, Kind::Seal, self.epoch(), &[]));
        writer.broken.get_or_insert_with(|| "it was closed".to_owned());
        sealed.map(drop).map_err(|error| EngineError::Io {
            operation: "seal",
            path: writer.segment.path.clone(),
            source: io::Error::other(error),
        })
    }
}

impl Writer {
    /// Everything that is written is durable.
    fn sync(&mut self) -> Result<(), AppendError> {
        if self.has_deferred {
            let synced = self.segment.file.sync_data();
            synced.map_err(|source| self.break_with("fdatasync", source))?;
            self.has_deferred = false;
        }
        Ok(())
    }

    fn break_with(&mut self, operation: &str, source: io::Error) -> AppendError {
        self.broken = Some(format!("{operation} failed before: {source}"));
        AppendError::Broken { source }
    }
}

impl Default for LogOptions {
    /// 64 MiB: a roll over costs a few syncs, which is nothing once in 64 MiB, and trimming stays fine-grained against databases of GiB.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

fn too_long(bytes: u64) -> AppendError {
    let message = format!("a payload of {bytes} bytes, and at most {MAX_PAYLOAD_BYTES} fit");
    AppendError::NotWritten { source: io::Error::new(io::ErrorKind::InvalidInput, message) }
}

#[cfg(test)]
mod tests;
