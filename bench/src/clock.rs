//! CLOCK_MONOTONIC, the clock of `bpf_ktime_get_ns`, so that series of different processes and
//! the agent's decision log line up without a conversion.

use std::thread;
use std::time::Duration;

use model::units::{Nanos, Timestamp};
use rustix::time::{ClockId, clock_gettime};

pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Timestamp(secs * 1_000_000_000 + nanos)
}

/// Returns at once when `at` has passed.
pub fn sleep_until(at: Timestamp) {
    let left = at.since(now());
    if left > Nanos(0) {
        thread::sleep(Duration::from_nanos(left.0));
    }
}
