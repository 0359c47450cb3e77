//! Checkpoint files: the caller's snapshot of its index as opaque bytes. Owns their layout, how they replace each other, and when one is
//! believed.
//!
//! ```text
//!  0  2  magic "BC"           body, any length
//!  2  1  version, 1           then 16 bytes:
//!  3  1  0                     0  8  length of the body
//!  4  4  store                 8  4  0
//!  8  8  place in the stream  12  4  crc32c of everything before
//! 16  8  epoch
//! 24  4  0
//! 28  4  crc32c of bytes 0..28
//! ```

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, read_exact_at};
use super::frame::{READS_VERSIONS, StoreId, VERSION, number_u32, number_u64};
use super::segment::number_of;
use super::{EngineError, Epoch, Lsn, WriteBody};

/// What is not finished; removed at the next start.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";

const SUFFIX: &str = ".checkpoint";
const MAGIC: [u8; 2] = *b"BC";
const HEADER_BYTES: usize = 32;
const TRAILER_BYTES: usize = 16;
const BUFFER_BYTES: usize = 1 << 20;

/// A checkpoint file that is in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) at: Lsn,
    pub(super) epoch: Epoch,
    pub(super) bytes: u64,
}

/// The body of a checkpoint, whose checksum was right.
pub(super) struct Body {
    file: Arc<dyn DiskFile>,
    offset: u64,
    end: u64,
}

pub(super) fn name(at: Lsn) -> String {
    format!("{:020}{SUFFIX}", at.0)
}

pub(super) fn at_of(name: &str) -> Option<Lsn> {
    number_of(name, SUFFIX)
}

/// Durable under its name when it returns.
pub(super) fn write(
    disk: &dyn Disk,
    store: StoreId,
    at: Lsn,
    epoch: Epoch,
    body: &mut WriteBody<'_>,
) -> Result<Kept, EngineError> {
    let name = name(at);
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    let written = write_temporary(disk, &temporary, &encode_header(store, at, epoch), body)
        .and_then(|bytes| disk.rename(&temporary, &name).map(|()| bytes))
        .and_then(|bytes| disk.sync_folder().map(|()| bytes));
    match written {
        Ok(bytes) => Ok(Kept { at, epoch, bytes }),
        Err(source) => {
            // Only room is lost if this fails too, and the next start removes it.
            let _ = disk.remove(&temporary);
            Err(EngineError::Io { operation: "write checkpoint", path: disk.path(&name), source })
        }
    }
}

fn write_temporary(
    disk: &dyn Disk,
    temporary: &str,
    header: &[u8],
    body: &mut WriteBody<'_>,
) -> io::Result<u64> {
    let file = disk.create(temporary)?;
    let sink = Sink { file: Arc::clone(&file), offset: 0, checksum: 0 };
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, sink);
    writer.write_all(header)?;
    body(&mut writer)?;
    writer.flush()?;
    let mut sink = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    let mut trailer = [0; TRAILER_BYTES];
    trailer[0..8].copy_from_slice(&(sink.offset - HEADER_BYTES as u64).to_le_bytes());
    let sum = crc32c::crc32c_append(sink.checksum, &trailer[..12]);
    trailer[12..].copy_from_slice(&sum.to_le_bytes());
    sink.write_all(&trailer)?;
    file.sync_all()?;
    Ok(sink.offset)
}

/// Looks at the header only: cheap, and enough to know where a scan may begin.
pub(super) fn look(disk: &dyn Disk, store: StoreId, at: Lsn) -> Result<Kept, EngineError> {
    Ok(open(disk, store, at)?.0)
}

/// Reads all of it once for the checksum; what the answer reads then comes from the page cache, a MiB at a time: a key is a dozen small
/// pieces, each of which would be a call of the kernel.
pub(super) fn read(
    disk: &dyn Disk,
    store: StoreId,
    at: Lsn,
) -> Result<BufReader<Body>, EngineError> {
    let (kept, file) = open(disk, store, at)?;
    let path = disk.path(&name(at));
    let end = kept.bytes - TRAILER_BYTES as u64;
    let mut all = Body { file: Arc::clone(&file), offset: 0, end };
    let mut trailer = [0; TRAILER_BYTES];
    let summed = checksum(&mut all)
        .and_then(|sum| read_exact_at(file.as_ref(), &mut trailer, end).map(|()| sum))
        .map_err(EngineError::io("read", &path))?;
    let body_bytes = end - HEADER_BYTES as u64;
    if number_u64(&trailer, 0) != body_bytes {
        return Err(damaged(path, end, "the length at its end is not the length of the body"));
    }
    if number_u32(&trailer, 12) != crc32c::crc32c_append(summed, &trailer[..12]) {
        return Err(damaged(path, end, "a wrong checksum"));
    }
    let body = Body { file, offset: HEADER_BYTES as u64, end };
    Ok(BufReader::with_capacity(BUFFER_BYTES, body))
}

fn open(
    disk: &dyn Disk,
    store: StoreId,
    at: Lsn,
) -> Result<(Kept, Arc<dyn DiskFile>), EngineError> {
    let name = name(at);
    let path = disk.path(&name);
    let file = disk.open(&name).map_err(EngineError::io("open", &path))?;
    let bytes = file.length().map_err(EngineError::io("open", &path))?;
    if bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 {
        return Err(damaged(path, 0, "it is too short"));
    }
    let mut header = [0; HEADER_BYTES];
    read_exact_at(file.as_ref(), &mut header, 0).map_err(EngineError::io("read", &path))?;
    if header[0..2] != MAGIC {
        return Err(damaged(path, 0, "no magic"));
    }
    if number_u32(&header, 28) != crc32c::crc32c(&header[..28]) {
        return Err(damaged(path, 0, "its header has a wrong checksum"));
    }
    if header[2] != VERSION {
        let found = header[2];
        return Err(EngineError::UnknownVersion { path, offset: 2, found, reads: READS_VERSIONS });
    }
    if number_u32(&header, 4) != store.0 || number_u64(&header, 8) != at.0 {
        return Err(damaged(path, 4, "it belongs to another store or another place"));
    }
    Ok((Kept { at, epoch: Epoch(number_u64(&header, 16)), bytes }, file))
}

fn encode_header(store: StoreId, at: Lsn, epoch: Epoch) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..2].copy_from_slice(&MAGIC);
    header[2] = VERSION;
    header[4..8].copy_from_slice(&store.0.to_le_bytes());
    header[8..16].copy_from_slice(&at.0.to_le_bytes());
    header[16..24].copy_from_slice(&epoch.0.to_le_bytes());
    let sum = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    header
}

fn damaged(path: PathBuf, offset: u64, reason: &'static str) -> EngineError {
    EngineError::DamagedCheckpoint { path, offset, reason }
}

fn checksum(body: &mut Body) -> io::Result<u32> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut sum = 0;
    loop {
        match body.read(&mut buffer)? {
            0 => return Ok(sum),
            count => sum = crc32c::crc32c_append(sum, &buffer[..count]),
        }
    }
}

/// Writes at the end of a file and sums up. A buffer at a time goes to the disk: whoever syncs the log meanwhile waits for what lies before
/// it there, and a checkpoint may have hundreds of megabytes.
struct Sink {
    file: Arc<dyn DiskFile>,
    offset: u64,
    checksum: u32,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(&[bytes], self.offset)?;
        self.offset += bytes.len() as u64;
        self.file.sync_data()?;
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = (buffer.len() as u64).min(self.end - self.offset) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        Ok(count)
    }
}
