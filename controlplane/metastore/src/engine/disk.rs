//! The edge to the file system: one folder and its files. Owns the few calls the log needs, so that tests can lose power or run out of room
//! between any two of them. Knows nothing of groups.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation};

/// The kernel takes no more pieces in one call (UIO_MAXIOV).
const MAX_PIECES: usize = 1024;

/// One folder. Names have no separators in them.
pub trait Disk: Send + Sync + Debug {
    /// Makes the caller the only user for as long as the answer lives; `WouldBlock` if there is another one.
    fn lock(&self) -> io::Result<Box<dyn Debug + Send + Sync>>;
    fn list(&self) -> io::Result<Vec<String>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// An empty file, also where there was one.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Which files there are is durable after it.
    fn sync_folder(&self) -> io::Result<()>;
    /// For messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// One file. All calls may come from many threads.
pub trait DiskFile: Send + Sync + Debug {
    fn length(&self) -> io::Result<u64>;
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all pieces one after the other, beginning at `offset`.
    fn write_at(&self, pieces: &[&[u8]], offset: u64) -> io::Result<()>;
    /// Reserves room up to `length`, which reads as zeros where nothing was written.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Cuts off what lies after `length`, or adds zeros up to it without reserving room.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// What was written is durable after it, and the length where it matters for that.
    fn sync_data(&self) -> io::Result<()>;
    fn sync_all(&self) -> io::Result<()>;
}

/// Fills `buffer`, or fails with `UnexpectedEof`.
pub fn read_exact_at(
    file: &dyn DiskFile,
    mut buffer: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                offset += count as u64;
                buffer = &mut buffer[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A folder of the file system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    handle: File,
}

impl Folder {
    /// Makes the folder where it is missing.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.exists() {
            std::fs::create_dir_all(path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self { path: path.to_owned(), handle: File::open(path)? })
    }
}

/// The file that is locked; it stays, because removing it would let two processes lock two files.
pub(super) const LOCK_FILE: &str = "LOCK";

impl Disk for Folder {
    fn lock(&self) -> io::Result<Box<dyn Debug + Send + Sync>> {
        let path = self.path(LOCK_FILE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(self.path(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(options.open(self.path(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl DiskFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, pieces: &[&[u8]], mut offset: u64) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        // Empty pieces at the front would make a call that writes nothing, which looks like a full device.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let batch = &left[..left.len().min(MAX_PIECES)];
            match rustix::io::pwritev(self, batch, offset) {
                Ok(0) if batch.iter().any(|slice| !slice.is_empty()) => {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Ok(0) => {
                    let count = batch.len();
                    left = &mut left[count..];
                }
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(self, FallocateFlags::empty(), 0, length) {
                Err(rustix::io::Errno::INTR) => {}
                // A file system without it: the length alone is as correct, only slower and without reserved room.
                Err(rustix::io::Errno::OPNOTSUPP) => {
                    return self.set_length(length.max(self.length()?));
                }
                other => return Ok(other?),
            }
        }
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        File::sync_all(self)
    }
}
