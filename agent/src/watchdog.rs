//! A small second process that outlives a killed agent and puts the originals back. It holds the
//! reading end of a pipe: the kernel closes the other end when the agent dies, however it dies.
//!
//! Limits: what kills the agent's whole cgroup kills the watchdog as well; then the next agent
//! restores what it finds in the journal.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use actuator::{HostFiles, Restored, restore};
use model::Nanos;
use model::knob::Lane;
use state::{AgentLock, LockError, Originals, Role};
use tracing::{error, info, warn};

/// The byte that a cleanly stopping agent sends: nothing to restore.
const CLEAN_STOP: u8 = b'.';

/// The agent's end. Dropping it without `dismiss` sets the watchdog to work.
#[derive(Debug)]
pub struct Watchdog {
    child: Child,
    pipe: Option<ChildStdin>,
}

/// Where the watchdog finds journal and cgroups; everything is handed over on its command line.
#[derive(Clone, Debug)]
pub struct Watched {
    pub config: PathBuf,
}

/// Starts the watchdog as a child of the agent, in a session of its own so that a signal to the
/// agent's process group does not reach it.
pub fn start(watched: &Watched) -> io::Result<Watchdog> {
    let mut child = Command::new("/proc/self/exe")
        .arg("watchdog")
        .arg("--config")
        .arg(&watched.config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()?;
    let pipe = child.stdin.take();
    Ok(Watchdog { child, pipe })
}

impl Watchdog {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still watches; a dead one is reaped.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The agent restored everything itself and the watchdog may go.
    pub fn dismiss(mut self) {
        if let Some(mut pipe) = self.pipe.take()
            && let Err(error) = pipe.write_all(&[CLEAN_STOP])
        {
            error!(%error, "The watchdog was gone before the agent");
        }
        // It has nothing left to do; init reaps one that lingers.
        let asked = Instant::now();
        while self.is_alive() {
            if asked.elapsed() > LEAVE_WITHIN {
                warn!(pid = self.pid(), "The watchdog lingers");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A dismissed watchdog only has to read a byte and end.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// The watchdog's own main: waits for the agent's end, gives a successor `grace` to take over,
/// restores otherwise.
pub fn watch(
    runtime_dir: &Path,
    tree: hostfs::CgroupTree,
    grace: Nanos,
    mut pipe: impl Read,
) -> Option<Restored> {
    let mut byte = [0];
    match pipe.read(&mut byte) {
        Ok(1) if byte[0] == CLEAN_STOP => return None,
        // End of file or an error: the agent is gone.
        _ => {}
    }
    let lock = take_over(runtime_dir, grace)?;
    let mut files = HostFiles::new(tree);
    let restored = restore_all(runtime_dir, &mut files);
    drop(lock);
    Some(restored)
}

/// Waits out the grace; `None` when a new agent holds the lock, which then owns the journal.
fn take_over(runtime_dir: &Path, grace: Nanos) -> Option<AgentLock> {
    std::thread::sleep(Duration::from_nanos(grace.0));
    match AgentLock::acquire(runtime_dir, Role::Watchdog) {
        Ok(lock) => Some(lock),
        Err(LockError::Held { pid, .. } | LockError::Restoring { pid, .. }) => {
            info!(%pid, "A new agent took over, nothing to restore");
            None
        }
        Err(error) => {
            error!(%error, "The watchdog cannot take the agent's lock");
            None
        }
    }
}

/// The lock for an agent. A watchdog that is restoring is waited for: it ends by itself, and what it restores is what
/// this agent would have to restore first.
pub fn lock_after_watchdog(runtime_dir: &Path, limit: Duration) -> Result<AgentLock, LockError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let error = match AgentLock::acquire(runtime_dir, Role::Agent) {
            Ok(lock) => return Ok(lock),
            Err(error) => error,
        };
        let limit = match &error {
            LockError::Restoring { .. } => limit,
            // Whoever has just taken the lock has not noted yet what it is.
            LockError::Held { .. } => limit.min(NOTED_WITHIN),
            _ => return Err(error),
        };
        if began.elapsed() >= limit {
            return Err(error);
        }
        if matches!(error, LockError::Restoring { .. }) && !std::mem::replace(&mut told, true) {
            info!(reason = %error, "Waiting until originals are back");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// From taking the lock to having written down who did: two system calls, on a machine that is full.
const NOTED_WITHIN: Duration = Duration::from_millis(500);

/// Restores the journals of both lanes.
pub fn restore_all(runtime_dir: &Path, files: &mut HostFiles) -> Restored {
    let mut all = Restored::default();
    for lane in [Lane::Fast, Lane::Slow] {
        match Originals::open(runtime_dir, lane) {
            Ok(mut originals) => {
                let restored = restore(files, &mut originals);
                all.written += restored.written;
                all.gone += restored.gone;
                all.failures.extend(restored.failures);
            }
            Err(error) => error!(%error, ?lane, "A journal of originals cannot be opened"),
        }
    }
    for failure in &all.failures {
        error!(error = %failure.message, "A file was not restored");
    }
    info!(written = all.written, gone = all.gone, "Originals restored");
    all
}

/// How often a dead watchdog is noticed.
pub const CHECK_EVERY: Duration = Duration::from_secs(5);

/// Keeps one watchdog alive; asked at every tick, acts seldom.
#[derive(Debug)]
pub struct WatchdogKeeper {
    watched: Watched,
    watchdog: Option<Watchdog>,
    next_check: Instant,
}

impl WatchdogKeeper {
    pub fn start(watched: Watched) -> io::Result<WatchdogKeeper> {
        let watchdog = Some(start(&watched)?);
        Ok(WatchdogKeeper { watched, watchdog, next_check: Instant::now() + CHECK_EVERY })
    }

    /// Restarts a dead watchdog.
    pub fn check(&mut self) {
        if Instant::now() < self.next_check {
            return;
        }
        self.next_check = Instant::now() + CHECK_EVERY;
        if self.watchdog.as_mut().is_some_and(Watchdog::is_alive) {
            return;
        }
        error!("The watchdog died and is started again");
        self.watchdog = start(&self.watched)
            .map_err(|error| error!(%error, "The watchdog cannot be started"))
            .ok();
    }

    pub fn is_alive(&mut self) -> bool {
        self.watchdog.as_mut().is_some_and(Watchdog::is_alive)
    }

    pub fn dismiss(mut self) {
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.dismiss();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_restoring_watchdog_is_waited_for_and_an_agent_is_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let watchdog = AgentLock::acquire(dir.path(), Role::Watchdog).expect("nobody holds it");
        let restoring = Duration::from_millis(800);
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(restoring);
            drop(watchdog);
        });
        let lock = lock_after_watchdog(dir.path(), LIMIT).expect("the watchdog ends");
        assert!(began.elapsed() >= restoring);
        thread.join().expect("the thread ends");
        let refused = lock_after_watchdog(dir.path(), LIMIT).expect_err("an agent lives");
        assert!(matches!(refused, LockError::Held { .. }), "{refused}");
        drop(lock);
        let _restoring = AgentLock::acquire(dir.path(), Role::Watchdog).expect("it is free");
        let late = lock_after_watchdog(dir.path(), Duration::from_millis(50));
        assert!(matches!(late, Err(LockError::Restoring { .. })), "{late:?}");
    }
}
