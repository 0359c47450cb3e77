//! Conversations one after the other: a runtime restarts, drops a plugin or is not there yet. Owns the pause between two tries.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::call::{Answer, Call};
use super::session::{Ended, Identity, Pushes, serve};

/// A runtime that restarts is back within a second or two.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// On ten thousand nodes without a runtime nobody is hurt by a try every ten seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A conversation that lasted so long was a good one: the next failure is a new one.
const GOOD: Duration = Duration::from_secs(30);

/// Talks to the runtime for as long as it is polled. Updates between two conversations are refused at once: who asks can write the files
/// itself. `told` hears how each conversation ended and when the next one is tried.
/// The plugin hears `Configure` and `Synchronize` again at the beginning of each.
pub async fn keep(
    socket: &Path,
    identity: &Identity,
    pushes: &mut Pushes,
    mut plugin: impl FnMut(&Call) -> Answer,
    mut told: impl FnMut(&Ended, Duration),
) -> Infallible {
    let mut n_failed = 0;
    loop {
        let began = Instant::now();
        let ended = serve(socket, identity, pushes, &mut plugin).await;
        n_failed = if began.elapsed() >= GOOD { 0 } else { n_failed + 1 };
        let pause = pause(n_failed, random());
        told(&ended, pause);
        tokio::select! {
            () = sleep(pause) => {}
            refused = pushes.refuse() => match refused {}
        }
    }
}

/// Doubles with each failure in a row, and is between half and all of that: nodes that lost their runtimes together must not come
/// back together.
fn pause(n_failed: u32, random: u64) -> Duration {
    let doublings = n_failed.saturating_sub(1).min(16);
    let longest = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    let half_us = longest.as_micros() as u64 / 2;
    Duration::from_micros(half_us + random % (half_us + 1))
}

/// The standard library's hasher has random keys.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    /// In milliseconds.
    #[track_caller]
    fn check(n_failed: u32, shortest: u64, longest: u64) {
        assert_eq!(pause(n_failed, 0), Duration::from_millis(shortest), "{n_failed}");
        let half_us = shortest * 1000;
        assert_eq!(pause(n_failed, half_us), Duration::from_millis(longest), "{n_failed}");
        let any = pause(n_failed, u64::MAX);
        assert!(any >= Duration::from_millis(shortest) && any <= Duration::from_millis(longest));
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ_by_half() {
        check(0, 50, 100);
        check(1, 50, 100);
        check(2, 100, 200);
        check(5, 800, 1600);
        check(8, 5000, 10_000);
        check(u32::MAX, 5000, 10_000);
    }
}
