//! Why a host file could not be read or written. Absent (the thing is gone), unsupported (this
//! kernel has no such file), refused (the kernel said no) and malformed (it said something we do
//! not understand) are four different answers, and each leads to a different next step.

use std::io;
use std::path::{Path, PathBuf};

use model::plan::FailureKind;
use rustix::io::Errno;

use crate::parse::ParseError;

/// A host file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory it belongs to is gone, or the host never had the thing.
    #[error("{path} is not there")]
    Absent { path: PathBuf },
    /// The directory is there, the file is not, or the kernel answers EOPNOTSUPP.
    #[error("{path} is not offered by this kernel")]
    Unsupported { path: PathBuf },
    #[error("the kernel refused to let {path} be read")]
    Refused {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} holds {value:?}, which is not {expected}")]
    Malformed { path: PathBuf, value: String, expected: &'static str },
    /// The kernel hides the value for now: `cpu.weight` shows 0 while `cpu.idle` is 1.
    #[error("{path} shows {value:?} because {why}")]
    Hidden { path: PathBuf, value: String, why: &'static str },
}

impl ReadError {
    pub(crate) fn malformed(path: PathBuf, error: ParseError) -> ReadError {
        ReadError::Malformed { path, value: error.value, expected: error.expected }
    }

    pub(crate) fn refused(path: PathBuf, errno: Errno) -> ReadError {
        ReadError::Refused { path, source: errno.into() }
    }

    pub fn path(&self) -> &Path {
        match self {
            ReadError::Absent { path }
            | ReadError::Unsupported { path }
            | ReadError::Refused { path, .. }
            | ReadError::Malformed { path, .. }
            | ReadError::Hidden { path, .. } => path,
        }
    }

    /// The directory is gone: whoever holds this handle should forget it.
    pub fn is_absent(&self) -> bool {
        matches!(self, ReadError::Absent { .. })
    }

    pub fn errno(&self) -> Option<i32> {
        match self {
            ReadError::Refused { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// A value could not be written to a host file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The cgroup is gone: ENOENT for the whole directory, or ENODEV on a held file.
    #[error("{path} is not there, {value:?} was not written")]
    Absent { path: PathBuf, value: String },
    /// The directory is there, the file is not (controller off, older kernel, root cgroup).
    #[error("{path} is not offered by this kernel, {value:?} was not written")]
    Unsupported { path: PathBuf, value: String },
    #[error("the kernel refused {value:?} for {path}")]
    Refused {
        path: PathBuf,
        value: String,
        #[source]
        source: io::Error,
    },
    /// Known to be impossible, so the kernel was not asked.
    #[error("{value:?} was not written to {path}: {why}")]
    Malformed { path: PathBuf, value: String, why: &'static str },
}

impl WriteError {
    pub fn path(&self) -> &Path {
        match self {
            WriteError::Absent { path, .. }
            | WriteError::Unsupported { path, .. }
            | WriteError::Refused { path, .. }
            | WriteError::Malformed { path, .. } => path,
        }
    }

    pub fn errno(&self) -> Option<i32> {
        match self {
            WriteError::Refused { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// What the refusal means for the next turn of the loop.
    pub fn kind(&self) -> FailureKind {
        match self {
            WriteError::Absent { .. } => FailureKind::Vanished,
            WriteError::Unsupported { .. } => FailureKind::Unsupported,
            WriteError::Malformed { .. } => FailureKind::Invalid,
            WriteError::Refused { source, .. } => source
                .raw_os_error()
                .map_or(FailureKind::Other, |code| kind_of(Errno::from_raw_os_error(code))),
        }
    }
}

fn kind_of(errno: Errno) -> FailureKind {
    match errno {
        Errno::NOENT | Errno::NODEV => FailureKind::Vanished,
        Errno::BUSY | Errno::AGAIN | Errno::INTR => FailureKind::Busy,
        Errno::INVAL | Errno::RANGE => FailureKind::Invalid,
        Errno::NOSPC => FailureKind::NoSpace,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => FailureKind::Denied,
        Errno::OPNOTSUPP | Errno::NOSYS => FailureKind::Unsupported,
        _ => FailureKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(errno: Errno, expected: FailureKind) {
        let error = WriteError::Refused {
            path: "/sys/fs/cgroup/a/cpu.max".into(),
            value: "5 5".into(),
            source: errno.into(),
        };
        assert_eq!(error.kind(), expected, "{errno:?}");
        assert_eq!(error.errno(), Some(errno.raw_os_error()));
    }

    #[test]
    fn an_errno_says_what_the_next_turn_should_do() {
        check(Errno::NOENT, FailureKind::Vanished);
        check(Errno::NODEV, FailureKind::Vanished);
        check(Errno::BUSY, FailureKind::Busy);
        check(Errno::AGAIN, FailureKind::Busy);
        check(Errno::INTR, FailureKind::Busy);
        check(Errno::INVAL, FailureKind::Invalid);
        check(Errno::RANGE, FailureKind::Invalid);
        check(Errno::NOSPC, FailureKind::NoSpace);
        check(Errno::ACCESS, FailureKind::Denied);
        check(Errno::PERM, FailureKind::Denied);
        check(Errno::ROFS, FailureKind::Denied);
        check(Errno::OPNOTSUPP, FailureKind::Unsupported);
        check(Errno::IO, FailureKind::Other);
    }

    #[test]
    fn a_message_names_operation_path_and_value_and_not_its_source() {
        let error = WriteError::Refused {
            path: "/sys/fs/cgroup/a/cpu.max".into(),
            value: "999 100000".into(),
            source: Errno::INVAL.into(),
        };
        assert_eq!(
            error.to_string(),
            r#"the kernel refused "999 100000" for /sys/fs/cgroup/a/cpu.max"#
        );
        let error = ReadError::Malformed {
            path: "/c/cpu.max".into(),
            value: "x".into(),
            expected: "a quota and a period",
        };
        assert_eq!(error.to_string(), r#"/c/cpu.max holds "x", which is not a quota and a period"#);
    }
}
