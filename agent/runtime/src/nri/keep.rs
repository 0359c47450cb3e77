//! Conversations one after the other: a runtime restarts, drops a plugin or is not there yet. Owns when to try again.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::call::{Answer, Call};
use super::session::{Ended, Identity, Pushes, serve};
use crate::pauses::{self, Jitter, Pauses};

/// A runtime that restarts is back within a second or two; on ten thousand nodes without a runtime nobody is hurt by a
/// try every ten seconds.
const PAUSES: Pauses = Pauses {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(10),
    jitter: Jitter::Half,
};
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
        let pause = PAUSES.after(n_failed, pauses::random());
        told(&ended, pause);
        tokio::select! {
            () = sleep(pause) => {}
            refused = pushes.refuse() => match refused {}
        }
    }
}
