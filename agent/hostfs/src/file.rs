//! Reading and writing whole small files through file descriptors. Kernel files are generated at
//! read time: one `pread` at offset 0 is a consistent picture, and a held descriptor can be asked
//! again. Knows nothing of what the bytes mean.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::error::ReadError;
use crate::parse::ParseError;

/// One page holds every file that is read each second, so they never touch the heap.
const FIRST_READ: usize = 4096;

/// `cgroup.procs` of a group with a million threads has 8 MB; more than this is not a kernel file.
const MAX_FILE: usize = 16 << 20;

/// Reads the whole file behind `fd` from its beginning and gives the text to `parse`. The outer
/// error is the kernel's, the inner one the parser's.
pub(crate) fn read_with<T>(
    fd: BorrowedFd<'_>,
    parse: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Result<Result<T, ParseError>, Errno> {
    let mut first = [0u8; FIRST_READ];
    let n = pread(fd, &mut first, 0)?;
    if n < FIRST_READ {
        return Ok(as_text(&first[..n]).and_then(parse));
    }
    let mut all = first.to_vec();
    let mut chunk = vec![0u8; 64 << 10];
    loop {
        let n = pread(fd, &mut chunk, all.len() as u64)?;
        if n == 0 {
            return Ok(as_text(&all).and_then(parse));
        }
        all.extend_from_slice(&chunk[..n]);
        if all.len() > MAX_FILE {
            return Ok(Err(ParseError::new("..", "a file of at most 16 MiB")));
        }
    }
}

/// Reads a file by path; `Absent` when it is not there.
pub(crate) fn read_path<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Result<T, ReadError> {
    let failed = |errno| match errno {
        Errno::NOENT | Errno::NODEV | Errno::NOTDIR => {
            ReadError::Absent { path: path.to_path_buf() }
        }
        Errno::OPNOTSUPP => ReadError::Unsupported { path: path.to_path_buf() },
        errno => ReadError::refused(path.to_path_buf(), errno),
    };
    let fd = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed)?;
    read_with(fd.as_fd(), parse)
        .map_err(failed)?
        .map_err(|error| ReadError::malformed(path.to_path_buf(), error))
}

fn pread(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    loop {
        match rustix::io::pread(fd, &mut *buffer, offset) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Recorded trees carry NUL bytes behind the text of some files; the kernel never sends one.
fn as_text(bytes: &[u8]) -> Result<&str, ParseError> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end])
        .map_err(|_not_utf8| ParseError::new(&String::from_utf8_lossy(bytes), "UTF-8 text"))
}
