//! The host's own counters below `/proc`: per-CPU times, memory, pressure, scheduler statistics.
//! `HostFiles` holds what is read every second; `parse` turns text into values.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use model::Bytes;
use model::CpuId;
use model::sample::{HostSample, Pressure};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::cgroup::read::PressureOf;
use crate::error::ReadError;
use crate::file;
use crate::parse::ParseError;
use crate::procfs::parse::{Memory, Schedstat, UserHz};
use crate::psi::parse_pressure;
use crate::root::HostRoot;

pub mod parse;

/// The clock ticks per second of this process's ABI; 100 on every Linux that runs Berth, but the
/// value belongs to libc and not to us.
pub fn user_hz() -> UserHz {
    UserHz::new(rustix::param::clock_ticks_per_second())
}

/// Held descriptors of the files that make a `HostSample`.
#[derive(Debug)]
pub struct HostFiles {
    stat: Held,
    meminfo: Held,
    /// `None` where PSI is compiled out.
    cpu_pressure: Option<Held>,
    user_hz: UserHz,
}

#[derive(Debug)]
struct Held {
    fd: OwnedFd,
    path: PathBuf,
}

impl HostFiles {
    pub fn open(host: &HostRoot, user_hz: UserHz) -> Result<HostFiles, ReadError> {
        let cpu_pressure = match Held::open(pressure_path(host, PressureOf::Cpu)) {
            Err(ReadError::Absent { .. } | ReadError::Unsupported { .. }) => None,
            other => Some(other?),
        };
        Ok(HostFiles {
            stat: Held::open(host.proc().join("stat"))?,
            meminfo: Held::open(host.proc().join("meminfo"))?,
            cpu_pressure,
            user_hz,
        })
    }

    pub fn read(&self) -> Result<HostSample, ReadError> {
        let memory = self.meminfo.read(parse::meminfo)?;
        Ok(HostSample {
            cpus: self.stat.read(|text| parse::stat(text, self.user_hz))?,
            cpu_pressure: self.pressure()?,
            memory_total: memory.total,
            memory_available: memory.available,
            memory: BTreeMap::new(),
        })
    }

    /// `None` also with `psi=0`, where the file exists and reading it is EOPNOTSUPP.
    fn pressure(&self) -> Result<Option<Pressure>, ReadError> {
        match self.cpu_pressure.as_ref().map(|held| held.read(parse_pressure)) {
            None | Some(Err(ReadError::Unsupported { .. })) => Ok(None),
            Some(other) => other.map(Some),
        }
    }
}

impl Held {
    fn open(path: PathBuf) -> Result<Held, ReadError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
            Ok(fd) => Ok(Held { fd, path }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(ReadError::Absent { path }),
            Err(Errno::OPNOTSUPP) => Err(ReadError::Unsupported { path }),
            Err(errno) => Err(ReadError::refused(path, errno)),
        }
    }

    fn read<T>(&self, parse: impl FnOnce(&str) -> Result<T, ParseError>) -> Result<T, ReadError> {
        match file::read_with(self.fd.as_fd(), parse) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(ReadError::malformed(self.path.clone(), error)),
            Err(Errno::OPNOTSUPP) => Err(ReadError::Unsupported { path: self.path.clone() }),
            Err(errno) => Err(ReadError::refused(self.path.clone(), errno)),
        }
    }
}

pub fn read_memory(host: &HostRoot) -> Result<Memory, ReadError> {
    file::read_path(&host.proc().join("meminfo"), parse::meminfo)
}

/// Scheduler statistics per CPU; `Absent` without CONFIG_SCHEDSTATS.
pub fn read_schedstat(host: &HostRoot) -> Result<BTreeMap<CpuId, Schedstat>, ReadError> {
    file::read_path(&host.proc().join("schedstat"), parse::schedstat)
}

/// Pressure of the whole machine; `Absent` without PSI, `Unsupported` with `psi=0`.
pub fn read_pressure(host: &HostRoot, of: PressureOf) -> Result<Pressure, ReadError> {
    file::read_path(&pressure_path(host, of), parse_pressure)
}

/// Resident memory of this process; `None` where procfs is hidden. Always the process's own
/// `/proc`, never that of the injected root.
pub fn own_rss() -> Option<Bytes> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(Bytes(pages * rustix::param::page_size() as u64))
}

/// Open files of this process; `None` where they cannot be counted, which at the limit itself they
/// cannot: counting opens a folder.
pub fn own_open_files() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

pub(crate) fn pressure_path(host: &HostRoot, of: PressureOf) -> PathBuf {
    let name = match of {
        PressureOf::Cpu => "cpu",
        PressureOf::Memory => "memory",
        PressureOf::Io => "io",
    };
    host.proc().join("pressure").join(name)
}

#[cfg(test)]
mod tests {
    use model::{Bytes, Micros};

    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, HostRoot) {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("proc/pressure")).expect("proc");
        for (file, text) in files {
            std::fs::write(dir.path().join("proc").join(file), text).expect("write");
        }
        let host = HostRoot::new(dir.path());
        (dir, host)
    }

    const STAT: &str = "cpu  5 0 0 0 0 0 0 0 0 0\ncpu3 5 0 0 100 0 0 0 0 0 0\nintr 1 2\n";
    const MEMINFO: &str = "MemTotal: 100 kB\nMemAvailable: 50 kB\n";

    #[test]
    fn a_host_without_psi_is_still_a_host() {
        let (_dir, host) = host(&[("stat", STAT), ("meminfo", MEMINFO)]);
        let sample = HostFiles::open(&host, UserHz::new(100)).expect("open").read().expect("read");
        assert_eq!(sample.cpus[&CpuId(3)].idle, Micros(1_000_000));
        assert_eq!(sample.memory_available, Some(Bytes(50 << 10)));
        assert_eq!(sample.cpu_pressure, None);
        let error = read_pressure(&host, PressureOf::Memory).expect_err("no PSI");
        assert!(error.is_absent(), "{error}");
    }

    #[test]
    fn the_held_files_are_read_anew() {
        let some = "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let (dir, host) = host(&[("stat", STAT), ("meminfo", MEMINFO), ("pressure/cpu", some)]);
        let files = HostFiles::open(&host, UserHz::new(100)).expect("open");
        let total = |files: &HostFiles| {
            files.read().expect("read").cpu_pressure.map(|pressure| pressure.some.total)
        };
        assert_eq!(total(&files), Some(Micros(7)));
        std::fs::write(dir.path().join("proc/pressure/cpu"), some.replace('7', "8")).expect("w");
        assert_eq!(total(&files), Some(Micros(8)));
    }

    #[test]
    fn a_broken_file_is_named() {
        let (_dir, host) = host(&[("stat", "cpu0 x\n"), ("meminfo", MEMINFO)]);
        let error = HostFiles::open(&host, UserHz::new(100)).expect("open").read();
        let error = error.expect_err("broken").to_string();
        assert!(error.contains("proc/stat holds \"cpu0 x\""), "{error}");
    }

    /// The machine these tests run on, read only.
    #[test]
    fn this_machine_is_readable() {
        let host = HostRoot::new("/");
        let sample = HostFiles::open(&host, user_hz()).expect("open").read().expect("read");
        assert!(!sample.cpus.is_empty());
        assert!(sample.memory_total > sample.memory_available);
    }
}
