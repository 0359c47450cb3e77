//! One agent per runtime directory: an advisory lock that dies with its process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Held as long as the value lives; the kernel drops it when the process dies.
#[derive(Debug)]
pub struct AgentLock {
    _file: File,
}

/// Why this process may not be the agent.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another agent (pid {pid}) holds {path}; stop it first or use another runtime_dir")]
    Held { path: PathBuf, pid: String },
    #[error("cannot open lock file {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot lock {path}")]
    Lock {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl AgentLock {
    /// Takes `DIR/agent.lock` or says who holds it. The directory must exist.
    pub fn acquire(runtime_dir: &Path) -> Result<AgentLock, LockError> {
        let path = runtime_dir.join("agent.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| LockError::Open { path: path.clone(), source })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::Held { pid: holder(&mut file), path }),
            Err(errno) => return Err(LockError::Lock { path, source: errno.into() }),
        }
        // The pid is only for the message above; a failure to note it must not stop the agent.
        let _ = note_pid(&mut file);
        Ok(AgentLock { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    match file.take(32).read_to_string(&mut pid) {
        Ok(n) if n > 0 => pid.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn note_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::{AgentLock, LockError};

    #[test]
    fn the_second_agent_is_told_who_is_first_and_may_follow_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let first = AgentLock::acquire(dir.path()).expect("first");
        match AgentLock::acquire(dir.path()).expect_err("second") {
            LockError::Held { pid, .. } => assert_eq!(pid, std::process::id().to_string()),
            other => panic!("wrong error: {other:?}"),
        }
        drop(first);
        AgentLock::acquire(dir.path()).expect("after the first is gone");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = AgentLock::acquire("/nonexistent/berth".as_ref()).expect_err("no dir");
        assert!(matches!(error, LockError::Open { .. }));
        assert!(error.to_string().contains("/nonexistent/berth/agent.lock"));
    }
}
