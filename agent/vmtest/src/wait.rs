//! Waiting for the kernel, with a limit and a sentence to say what was waited for.

use std::thread;
use std::time::{Duration, Instant};

/// Under emulation a CPU may stand still for tens of milliseconds; looking more often only adds load.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
///
/// # Panics
/// With `what` when `limit` passes first.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, limit, || condition().then_some(()));
}

/// Waits until `attempt` gives a value.
///
/// # Panics
/// With `what` when `limit` passes first.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} for {what}");
        thread::sleep(LOOK_EVERY);
    }
}
