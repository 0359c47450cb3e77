//! The one clock of the agent: CLOCK_MONOTONIC, which BPF's `bpf_ktime_get_ns` reads as well.

use model::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, suspend excluded.
pub fn now() -> Timestamp {
    let time = clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Timestamp(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}
