//! PSI triggers: a file descriptor that becomes readable with POLLPRI when tasks stalled longer
//! than a threshold. The kernel checks ten times per window and tells at most once per window.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::cgroup::dir::Cgroup;
use crate::cgroup::read::PressureOf;
use crate::error::{ReadError, WriteError};
use crate::psi::Threshold;
use crate::root::HostRoot;

/// An armed trigger; dropping it disarms it.
#[derive(Debug)]
pub struct PsiTrigger {
    fd: OwnedFd,
    path: PathBuf,
}

/// What a wait for a trigger ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    Fired,
    TimedOut,
    /// The cgroup was removed.
    Gone,
}

impl PsiTrigger {
    pub fn arm(
        cgroup: &Cgroup,
        of: PressureOf,
        threshold: Threshold,
    ) -> Result<PsiTrigger, WriteError> {
        let text = threshold.to_string();
        let failed = |errno| cgroup.write_error(of.file(), &text, errno);
        let fd = cgroup.open_file(of.file(), OFlags::RDWR | OFlags::NONBLOCK).map_err(failed)?;
        write_threshold(&fd, &text).map_err(failed)?;
        Ok(PsiTrigger { fd, path: cgroup.file_path(of.file()) })
    }

    /// A trigger on the pressure of the whole machine.
    pub fn arm_host(
        host: &HostRoot,
        of: PressureOf,
        threshold: Threshold,
    ) -> Result<PsiTrigger, WriteError> {
        let path = crate::procfs::pressure_path(host, of);
        let value = threshold.to_string();
        let failed = |errno| match errno {
            Errno::NOENT | Errno::OPNOTSUPP => {
                WriteError::Unsupported { path: path.clone(), value: value.clone() }
            }
            errno => WriteError::Refused {
                path: path.clone(),
                value: value.clone(),
                source: errno.into(),
            },
        };
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &path, flags, Mode::empty()).map_err(failed)?;
        write_threshold(&fd, &value).map_err(failed)?;
        Ok(PsiTrigger { fd, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Blocks until the trigger fires, the cgroup goes away or `timeout` is over. An event loop
    /// polls the descriptor for POLLPRI instead.
    pub fn wait(&self, timeout: Duration) -> Result<Woken, ReadError> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::PRI)];
        let timeout = Timespec::try_from(timeout).ok();
        let n_ready = loop {
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        }
        .map_err(|errno| ReadError::refused(self.path.clone(), errno))?;
        let events = fds[0].revents();
        Ok(match () {
            () if n_ready == 0 => Woken::TimedOut,
            () if events.contains(PollFlags::ERR) => Woken::Gone,
            () => Woken::Fired,
        })
    }
}

/// With a NUL behind it: `/proc/pressure` overwrites the last byte it is given with one
/// (kernel/sched/psi.c, `psi_write`), and without it `500000` is read as `50000`, which is EINVAL.
fn write_threshold(fd: &OwnedFd, text: &str) -> Result<(), Errno> {
    rustix::io::write(fd, format!("{text}\0").as_bytes()).map(drop)
}

impl AsFd for PsiTrigger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
