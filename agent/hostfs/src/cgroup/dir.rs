//! `Cgroup`: one cgroup directory, held by a file descriptor from the moment it is opened, so that
//! a directory that is removed and made again is never mistaken for the old one. Opens, reads and
//! writes files as text; their meaning is `read`, `write` and `parse`.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use model::CgroupId;
use model::qos::CgroupPath;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{ReadError, WriteError};
use crate::file;
use crate::parse::ParseError;

/// `f_type` of a cgroup2 mount (include/uapi/linux/magic.h, CGROUP2_SUPER_MAGIC).
const CGROUP2_MAGIC: u64 = 0x6367_7270;

macro_rules! files {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// The files of a cgroup directory that Berth knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CgroupFile { $($variant),+ }

        impl CgroupFile {
            pub const ALL: &[CgroupFile] = &[$(CgroupFile::$variant),+];

            pub const fn name(self) -> &'static str {
                match self { $(CgroupFile::$variant => $name),+ }
            }
        }
    };
}

files! {
    CpuIdle = "cpu.idle",
    CpuWeight = "cpu.weight",
    CpuMax = "cpu.max",
    CpuStat = "cpu.stat",
    CpuPressure = "cpu.pressure",
    MemoryCurrent = "memory.current",
    Events = "cgroup.events",
    CpusetCpus = "cpuset.cpus",
    CpusetCpusEffective = "cpuset.cpus.effective",
    // Up to here the descriptors are held, see `CgroupFile::held`.
    CpuMaxBurst = "cpu.max.burst",
    MemoryPressure = "memory.pressure",
    IoPressure = "io.pressure",
    CpusetCpusPartition = "cpuset.cpus.partition",
    CpusetMems = "cpuset.mems",
    CpusetMemsEffective = "cpuset.mems.effective",
    MemoryStat = "memory.stat",
    MemoryNumaStat = "memory.numa_stat",
    MemoryMin = "memory.min",
    MemoryLow = "memory.low",
    MemoryHigh = "memory.high",
    MemoryMax = "memory.max",
    IoStat = "io.stat",
    Procs = "cgroup.procs",
    Threads = "cgroup.threads",
    Type = "cgroup.type",
    Freeze = "cgroup.freeze",
    Kill = "cgroup.kill",
    Controllers = "cgroup.controllers",
    SubtreeControl = "cgroup.subtree_control",
}

/// Files that are read every second or written by the fast path. Each costs a descriptor per
/// direction and cgroup, once used; an agent with 100 workloads therefore holds up to 1500.
const N_HELD: usize = 9;

impl CgroupFile {
    /// The slot of a file whose descriptor is kept open after its first use.
    const fn held(self) -> Option<usize> {
        let slot = self as usize;
        if slot < N_HELD { Some(slot) } else { None }
    }
}

/// One open cgroup directory.
#[derive(Debug)]
pub struct Cgroup {
    dir: OwnedFd,
    id: CgroupId,
    path: CgroupPath,
    shown: PathBuf,
    /// The host's `/proc`, where the tree was told of one.
    proc: Option<Arc<Path>>,
    /// A folder of plain files (tests): a write has to cut the file to its new length.
    plain_files: bool,
    for_read: [OnceLock<OwnedFd>; N_HELD],
    for_write: [OnceLock<OwnedFd>; N_HELD],
}

impl Cgroup {
    /// Opens the directory `shown`; `path` is how the agent calls it.
    pub(crate) fn open_dir(
        shown: PathBuf,
        path: CgroupPath,
        proc: Option<Arc<Path>>,
    ) -> Result<Cgroup, ReadError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |errno| match errno {
            Errno::NOENT | Errno::NOTDIR => ReadError::Absent { path: shown.clone() },
            errno => ReadError::refused(shown.clone(), errno),
        };
        let dir = rustix::fs::open(&shown, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&dir).map_err(failed)?;
        let fs = rustix::fs::fstatfs(&dir).map_err(failed)?;
        Ok(Cgroup {
            dir,
            id: CgroupId(stat.st_ino),
            path,
            plain_files: fs.f_type as u64 != CGROUP2_MAGIC,
            shown,
            proc,
            for_read: Default::default(),
            for_write: Default::default(),
        })
    }

    /// The inode number of the directory, which BPF sees as cgroup id.
    pub fn id(&self) -> CgroupId {
        self.id
    }

    /// Below the managed root.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The directory on this host, for messages.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    pub(crate) fn proc(&self) -> Option<&Arc<Path>> {
        self.proc.as_ref()
    }

    pub fn file_path(&self, file: CgroupFile) -> PathBuf {
        self.shown.join(file.name())
    }

    /// Whether the directory still exists. A removed one keeps its descriptor but loses its files.
    pub fn is_alive(&self) -> bool {
        rustix::fs::statat(&self.dir, CgroupFile::Procs.name(), AtFlags::empty()).is_ok()
    }

    /// Whether this kernel offers the file for this cgroup.
    pub fn has(&self, file: CgroupFile) -> bool {
        rustix::fs::statat(&self.dir, file.name(), AtFlags::empty()).is_ok()
    }

    /// Whether the file could be opened for writing: a read-only mount or a missing right shows
    /// before the first value is decided.
    pub fn may_write(&self, file: CgroupFile) -> bool {
        self.open_file(file, OFlags::WRONLY).is_ok()
    }

    /// Reads a file and gives its text to `parse`.
    pub fn read<T>(
        &self,
        file: CgroupFile,
        parse: impl FnOnce(&str) -> Result<T, ParseError>,
    ) -> Result<T, ReadError> {
        self.with_fd(file, OFlags::RDONLY, |fd| file::read_with(fd, parse))
            .map_err(|errno| self.read_error(file, errno))?
            .map_err(|error| ReadError::malformed(self.file_path(file), error))
    }

    /// Writes `value` as one write call.
    pub fn write(&self, file: CgroupFile, value: &str) -> Result<(), WriteError> {
        self.with_fd(file, OFlags::WRONLY, |fd| self.write_fd(fd, value))
            .map_err(|errno| self.write_error(file, value, errno))
    }

    fn write_fd(&self, fd: BorrowedFd<'_>, value: &str) -> Result<(), Errno> {
        if self.plain_files {
            rustix::fs::ftruncate(fd, 0)?;
        }
        match rustix::io::pwrite(fd, value.as_bytes(), 0)? {
            n if n == value.len() => Ok(()),
            _short => Err(Errno::IO),
        }
    }

    /// Opens a file of this directory; the caller keeps the descriptor.
    pub(crate) fn open_file(&self, file: CgroupFile, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(&self.dir, file.name(), flags | OFlags::CLOEXEC, Mode::empty())
    }

    pub(crate) fn open_directory(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, ".", flags, Mode::empty())
    }

    fn with_fd<T>(
        &self,
        file: CgroupFile,
        direction: OFlags,
        act: impl FnOnce(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let table = if direction == OFlags::RDONLY { &self.for_read } else { &self.for_write };
        let Some(slot) = file.held().map(|slot| &table[slot]) else {
            return act(self.open_file(file, direction)?.as_fd());
        };
        if let Some(fd) = slot.get() {
            return act(fd.as_fd());
        }
        let opened = self.open_file(file, direction)?;
        act(slot.get_or_init(|| opened).as_fd())
    }

    pub(crate) fn read_error(&self, file: CgroupFile, errno: Errno) -> ReadError {
        let path = self.file_path(file);
        match errno {
            Errno::NOENT if self.is_alive() => ReadError::Unsupported { path },
            Errno::NOENT | Errno::NODEV => ReadError::Absent { path },
            Errno::OPNOTSUPP => ReadError::Unsupported { path },
            errno => ReadError::refused(path, errno),
        }
    }

    pub(crate) fn write_error(&self, file: CgroupFile, value: &str, errno: Errno) -> WriteError {
        let (path, value) = (self.file_path(file), value.to_owned());
        match errno {
            Errno::NOENT if self.is_alive() => WriteError::Unsupported { path, value },
            Errno::NOENT | Errno::NODEV => WriteError::Absent { path, value },
            Errno::OPNOTSUPP => WriteError::Unsupported { path, value },
            errno => WriteError::Refused { path, value, source: errno.into() },
        }
    }
}
