//! One agent per runtime directory: an advisory lock that dies with its process. The watchdog of a dead agent holds
//! it too, while it puts originals back.

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

/// Who takes the lock; noted for the one who comes second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Agent,
    /// Restores what a dead agent left, and lets go.
    Watchdog,
}

/// Why this process may not be the agent.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another agent (pid {pid}) holds {path}; stop it first or use another runtime_dir")]
    Held { path: PathBuf, pid: String },
    #[error(
        "the watchdog (pid {pid}) of the agent before is still restoring originals, it holds {path}"
    )]
    Restoring { path: PathBuf, pid: String },
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
    pub fn acquire(runtime_dir: &Path, role: Role) -> Result<AgentLock, LockError> {
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
            Err(Errno::WOULDBLOCK) => return Err(held(holder(&mut file), path)),
            Err(errno) => return Err(LockError::Lock { path, source: errno.into() }),
        }
        // Only for the message above; a failure to note it must not stop the agent.
        let _ = note(&mut file, role);
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

fn held(holder: String, path: PathBuf) -> LockError {
    match holder.strip_suffix(WATCHDOG) {
        Some(pid) => LockError::Restoring { path, pid: pid.trim_end().to_owned() },
        None => LockError::Held { path, pid: holder },
    }
}

const WATCHDOG: &str = "watchdog";

fn note(file: &mut File, role: Role) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    match role {
        Role::Agent => writeln!(file, "{}", std::process::id()),
        Role::Watchdog => writeln!(file, "{} {WATCHDOG}", std::process::id()),
    }
}

#[cfg(test)]
mod tests {
    use super::{AgentLock, LockError, Role};

    #[test]
    fn the_second_is_told_who_is_first_and_may_follow_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let me = std::process::id().to_string();
        for role in [Role::Agent, Role::Watchdog, Role::Agent] {
            let first = AgentLock::acquire(dir.path(), role).expect("first");
            let told = match AgentLock::acquire(dir.path(), Role::Agent).expect_err("second") {
                LockError::Held { pid, .. } => (Role::Agent, pid),
                LockError::Restoring { pid, .. } => (Role::Watchdog, pid),
                other => panic!("wrong error: {other:?}"),
            };
            assert_eq!(told, (role, me.clone()));
            drop(first);
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error =
            AgentLock::acquire("/nonexistent/berth".as_ref(), Role::Agent).expect_err("no dir");
        assert!(matches!(error, LockError::Open { .. }));
        assert!(error.to_string().contains("/nonexistent/berth/agent.lock"));
    }
}
