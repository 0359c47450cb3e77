//! A fenced log: the one place where acknowledged writes live. Owns the contract of an engine (positions, epochs, groups, checkpoints) and
//! its errors. Does not know what a record, a key or a revision is, and decides nothing: one sequencer above it decides everything.
//!
//! Positions are plain arithmetic: a group that is appended at `at` ends at `at + HEADER_BYTES + payload`, so the sequencer knows where
//! each value will lie before it is durable. All calls block; the caller is a dedicated thread.

pub mod disk;
pub mod frame;
pub mod log;
pub mod memory;

mod checkpoint;
mod recovery;
mod segment;

#[cfg(any(test, feature = "testkit"))]
pub mod conformance;
#[cfg(any(test, feature = "testkit"))]
pub mod faulty;
#[cfg(any(test, feature = "testkit"))]
pub mod power;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

pub use frame::HEADER_BYTES;

/// A place in the stream, in bytes since its beginning. It never changes and is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

/// The term of one writer. A higher one fences all lower ones; 0 has never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// What was made durable by one append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub at: Lsn,
    pub epoch: Epoch,
    pub payload: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// What the files occupy, preallocated room and checkpoints included.
    pub bytes_on_disk: u64,
    /// From the oldest byte that can be read to the head.
    pub bytes_in_use: u64,
    pub head: Lsn,
    pub oldest: Lsn,
}

/// The caller's snapshot of its index: everything before `at` is in it. The body was verified before it is handed out.
pub struct Checkpoint {
    pub at: Lsn,
    pub body: Box<dyn Read + Send>,
}

/// Where a reading of the log begins.
#[derive(Debug)]
pub struct Latest {
    /// None: the log itself holds everything from its first byte on.
    pub checkpoint: Option<Checkpoint>,
    /// Newer checkpoints that turned out to be damaged, newest first, for the caller to log.
    pub passed_over: Vec<EngineError>,
}

/// Writes the body of a checkpoint. It may be called once only.
pub type WriteBody<'a> = dyn FnMut(&mut dyn Write) -> io::Result<()> + 'a;

/// Groups in the order of the log.
pub type Groups = Box<dyn Iterator<Item = Result<Group, EngineError>> + Send>;

/// A fenced log. Every implementation passes `conformance::check`.
pub trait Engine: Send + Sync + fmt::Debug {
    /// The highest epoch that was ever claimed; 0 in a new log.
    fn epoch(&self) -> Epoch;

    /// Makes the caller the writer: a higher epoch, and no append of a lower one succeeds from here on. The head may have moved, because an
    /// engine may keep a marker in the stream; markers are never seen as groups.
    fn claim(&self) -> Result<(Epoch, Lsn), EngineError>;

    /// Durable when it returns the new head, which is always `at + HEADER_BYTES + payload`.
    fn append(&self, epoch: Epoch, at: Lsn, payload: &[&[u8]]) -> Result<Lsn, AppendError>;

    /// Readable when it returns, and durable with the next `append` or `sync`. A power cut may take it, and then everything after it: an
    /// engine that has no cheaper way makes it durable at once.
    fn append_deferred(
        &self,
        epoch: Epoch,
        at: Lsn,
        payload: &[&[u8]],
    ) -> Result<Lsn, AppendError> {
        self.append(epoch, at, payload)
    }

    /// Makes durable what was deferred.
    fn sync(&self) -> Result<(), AppendError> {
        Ok(())
    }

    /// Any range of bytes inside one payload. Its checksum is not looked at: recovery and `groups` do that.
    fn read(&self, at: Lsn, length: usize) -> Result<Bytes, ReadError>;

    /// All groups from `from`, which must be the beginning of a group or the head, to the head of this moment; checksums are verified.
    fn groups(&self, from: Lsn) -> Result<Groups, EngineError>;

    /// Gives up what lies before `before`, as far as whole segments allow. Nothing at or after the oldest checkpoint that is kept goes,
    /// and nothing at all before there is a checkpoint: without it the log could not be read back.
    fn trim(&self, before: Lsn) -> Result<(), EngineError>;

    /// What can be read now stays readable through the pin, whatever is trimmed later.
    fn pin(&self) -> Pin;

    fn size(&self) -> Size;

    /// Where its files are, for who asks for the room there; none where it has no files.
    fn folder(&self) -> Option<PathBuf> {
        None
    }

    /// Keeps a snapshot of everything before `at`, the beginning of a group or the head. The checkpoint before it is kept as well.
    fn write_checkpoint(&self, at: Lsn, write: &mut WriteBody<'_>) -> Result<(), EngineError>;

    /// The newest checkpoint that is whole. An error if there is none and the log was trimmed.
    fn latest_checkpoint(&self) -> Result<Latest, EngineError>;

    /// A clean end. No append succeeds after it.
    fn close(&self) -> Result<(), EngineError>;
}

/// What a pin reads from.
pub(crate) trait Pinned: Send + Sync + fmt::Debug {
    fn read(&self, at: Lsn, length: usize) -> Result<Bytes, ReadError>;
}

/// Holds the segments of one moment. Cheap to take and to clone; while it lives, trimmed segments keep their room on disk.
#[derive(Clone, Debug)]
pub struct Pin(Arc<dyn Pinned>);

impl Pin {
    pub fn read(&self, at: Lsn, length: usize) -> Result<Bytes, ReadError> {
        self.0.read(at, length)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the log belongs to the writer of epoch {}", by.0)]
    Fenced { by: Epoch },
    /// Certainly not in the log, now or later. The caller may try again at the same place.
    #[error("the group was not written")]
    NotWritten { source: io::Error },
    /// In the log or not; only shared engines say so. The caller claims again and looks.
    #[error("it is unknown whether the group was written")]
    Uncertain { source: io::Error },
    /// This engine takes no write any more; what it acknowledged is safe, and this group may be found at the next start.
    #[error("the log takes no more writes")]
    Broken { source: io::Error },
    #[error("the group is for byte {}, and the log ends at byte {}", at.0, expected.0)]
    Gap { expected: Lsn, at: Lsn },
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("byte {} was trimmed, the log begins at byte {}", at.0, oldest.0)]
    Trimmed { at: Lsn, oldest: Lsn },
    #[error("{length} bytes at byte {} are beyond the head, byte {}", at.0, head.0)]
    BeyondHead { at: Lsn, length: usize, head: Lsn },
    #[error("{length} bytes at byte {} do not lie in one payload", at.0)]
    NotOnePayload { at: Lsn, length: usize },
    #[error("reading {length} bytes at byte {offset} of {} failed", path.display())]
    Io { path: PathBuf, offset: u64, length: usize, source: io::Error },
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot {operation} {}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is used by another process", folder.display())]
    Locked { folder: PathBuf },
    #[error("{} is not a log of ours: it holds {found:?} and no {}; name an empty folder", folder.display(), frame::FORMAT_FILE)]
    NotOurs { folder: PathBuf, found: String },
    #[error("{} at byte {offset} has version {found}, and this program reads {reads}; start a newer program", path.display())]
    UnknownVersion { path: PathBuf, offset: u64, found: u8, reads: &'static str },
    #[error(
        "{} is damaged at byte {offset}: {reason}; acknowledged writes may lie there, so nothing was changed: copy the folder, then \
         restore it from a backup",
        path.display()
    )]
    Damaged { path: PathBuf, offset: u64, reason: String },
    #[error("checkpoint {} is damaged at byte {offset}: {reason}", path.display())]
    DamagedCheckpoint { path: PathBuf, offset: u64, reason: &'static str },
    #[error(
        "bytes {} to {} of the log are in no file of {}: a segment is missing; bring it back or restore the folder from a backup",
        from.0, to.0, folder.display()
    )]
    Missing { folder: PathBuf, from: Lsn, to: Lsn },
    #[error("byte {} was trimmed, the log begins at byte {}", at.0, oldest.0)]
    Trimmed { at: Lsn, oldest: Lsn },
    #[error("byte {} is beyond the head, byte {}", at.0, head.0)]
    BeyondHead { at: Lsn, head: Lsn },
    #[error("the log takes no more writes")]
    Broken { source: io::Error },
}

impl EngineError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsn({})", self.0)
    }
}

impl std::ops::Add<u64> for Lsn {
    type Output = Self;

    fn add(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl Group {
    /// Where the payload's first byte lies.
    pub fn payload_at(&self) -> Lsn {
        self.at + HEADER_BYTES
    }

    /// The first byte after this group.
    pub fn end(&self) -> Lsn {
        self.payload_at() + self.payload.len() as u64
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("at", &self.at).finish_non_exhaustive()
    }
}
