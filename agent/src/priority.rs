//! Makes the agent's own threads fast on a machine where every CPU is busy: real-time priority for
//! the loop and the fast lane, memory locked. All of it may be refused (no CAP_SYS_NICE, a
//! RLIMIT_MEMLOCK); then the agent runs slower and says so.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thread_priority::unix::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};
use tracing::warn;

/// The lowest real-time priority: above all ordinary work, below whatever else is real-time.
/// The loop's steps last under 5 ms and the kernel's own real-time throttling (95 %) bounds a bug.
const PRIORITY: u8 = 1;

/// Raises the calling thread.
pub fn raise_this_thread(name: &'static str) -> bool {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let Ok(value) = ThreadPriorityValue::try_from(PRIORITY) else {
        return false;
    };
    let priority = ThreadPriority::Crossplatform(value);
    match set_thread_priority_and_policy(thread_native_id(), priority, policy) {
        Ok(()) => true,
        Err(error) => {
            warn!(thread = name, error = ?error, "No real-time priority; suppression is slower on a full node");
            false
        }
    }
}

/// Keeps pages that were touched in memory; pages never touched are not brought in.
pub fn lock_memory() -> bool {
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    match mlockall(flags) {
        Ok(()) => true,
        Err(error) => {
            warn!(%error, "Memory is not locked; suppression is slower under memory pressure");
            false
        }
    }
}

/// The kernel's own bound unless somebody changed `fs.nr_open`.
const MOST_OPEN_FILES: u64 = 1 << 20;

/// Raises the limit of open files as far as it goes: a watched cgroup holds up to fifteen
/// descriptors, and 400 workloads are more than the usual hard limit of 4096.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let bound = Some(MOST_OPEN_FILES);
    // Over the hard limit only with CAP_SYS_RESOURCE; without it the hard limit has to do.
    let raised = Rlimit { current: bound, maximum: bound };
    let hard = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let result = setrlimit(Resource::Nofile, raised).or_else(|_| setrlimit(Resource::Nofile, hard));
    if let Err(error) = result {
        warn!(%error, limit = ?limit.current, "The limit of open files stays as it is");
    }
}

/// How many files this process may have open; `None` is no limit.
pub fn most_open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Puts the calling thread back to ordinary scheduling: threads inherit the policy of the thread
/// that starts them.
pub fn ordinary() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    let priority = ThreadPriority::Crossplatform(ThreadPriorityValue::MIN);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), priority, policy) {
        warn!(error = ?error, "A serving thread keeps the loop's priority");
    }
}
