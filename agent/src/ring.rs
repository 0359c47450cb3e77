//! Follows the probe's ring buffer on a thread of its own and hands bursts to the loop.

use std::time::Duration;

use model::sample::Burst;
use probe::BurstReader;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tracing::error;

use crate::priority;

/// Bursts waiting for the loop; beyond that they say the same thing and are dropped.
const QUEUE: usize = 256;
/// How often the thread looks whether anybody still listens.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Starts the following thread; it ends when nobody receives any more.
pub fn follow(mut reader: BurstReader) -> std::io::Result<mpsc::Receiver<Burst>> {
    let (bursts, received) = mpsc::channel(QUEUE);
    let thread = std::thread::Builder::new().name("berth-ring".to_owned());
    thread.spawn(move || {
        priority::raise_this_thread("ring buffer");
        let timeout = Timespec::try_from(LOOK_UP).ok();
        while !bursts.is_closed() {
            match poll(&mut [PollFd::new(&reader, PollFlags::IN)], timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => {
                    error!(%errno, "The ring buffer cannot be polled; only the tick suppresses");
                    return;
                }
            }
            for burst in reader.drain() {
                // A full queue holds bursts that say the same.
                let _ = bursts.try_send(burst);
            }
        }
    })?;
    Ok(received)
}
