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

/// Raises the limit of open files to what the process may have: a watched cgroup holds up to fifteen
/// descriptors, and 300 workloads are more than the usual 1024.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, limit = ?limit.current, "The limit of open files stays as it is");
    }
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
