//! Makes the agent's own threads fast on a machine where every CPU is busy, and the rest of them
//! harmless: real-time priority for the loop and the fast lane, memory locked, everything else gives
//! way. All of it may be refused (no CAP_SYS_NICE, a RLIMIT_MEMLOCK); then the agent runs slower and
//! says so.

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

/// Raises the calling thread; where that is refused it competes like any other work.
pub fn raise_this_thread(name: &'static str) -> bool {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let Ok(value) = ThreadPriorityValue::try_from(PRIORITY) else {
        return false;
    };
    match schedule(policy, ThreadPriority::Crossplatform(value)) {
        Ok(()) => true,
        Err(error) => {
            warn!(
                thread = name,
                error, "No real-time priority; suppression is slower on a full node"
            );
            if let Err(error) = schedule_normally(NormalThreadSchedulePolicy::Other) {
                warn!(thread = name, error, "It gives way to other work");
            }
            false
        }
    }
}

/// Makes the calling thread, and those it starts, take a CPU from nobody when they wake up: they get
/// their share at the next scheduler tick (sched(7), SCHED_BATCH). For all that may be late by that.
pub fn give_way() {
    if let Err(error) = schedule_normally(NormalThreadSchedulePolicy::Batch) {
        warn!(error, "Threads that read and plan may interrupt services");
    }
}

/// Undoes `give_way` for the calling thread. A write to a cpuset sleeps more than once, and a thread
/// that gives way waits for a scheduler tick after each: a thousand would not be back within the
/// time a restore has.
pub fn take_turns() {
    if let Err(error) = schedule_normally(NormalThreadSchedulePolicy::Other) {
        warn!(error, "Writing many cgroups takes longer");
    }
}

fn schedule_normally(policy: NormalThreadSchedulePolicy) -> Result<(), String> {
    let value = ThreadPriorityValue::MIN;
    schedule(ThreadSchedulePolicy::Normal(policy), ThreadPriority::Crossplatform(value))
}

fn schedule(policy: ThreadSchedulePolicy, priority: ThreadPriority) -> Result<(), String> {
    let done = set_thread_priority_and_policy(thread_native_id(), priority, policy);
    done.map_err(|error| format!("{error:?}"))
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
