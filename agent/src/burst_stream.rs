//! The probe's ring buffer as something the loop can wait for.

use model::sample::Burst;
use probe::BurstReader;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::error;

/// Bursts as they come; for ever silent where there is no probe.
#[derive(Debug)]
pub enum BurstStream {
    Live(AsyncFd<BurstReader>),
    Silent,
}

impl BurstStream {
    /// Must be called inside the runtime that will wait.
    pub fn new(reader: Option<BurstReader>) -> BurstStream {
        match reader.map(|reader| AsyncFd::with_interest(reader, Interest::READABLE)) {
            Some(Ok(fd)) => BurstStream::Live(fd),
            Some(Err(error)) => {
                error!(%error, "The ring buffer cannot be polled; suppression waits for PSI");
                BurstStream::Silent
            }
            None => BurstStream::Silent,
        }
    }

    /// Waits for the next records. Cancel-safe: records stay in the buffer until they are drained.
    pub async fn next(&mut self) -> Vec<Burst> {
        let BurstStream::Live(fd) = self else {
            return std::future::pending().await;
        };
        match fd.readable_mut().await {
            Ok(mut guard) => {
                let bursts = guard.get_inner_mut().drain();
                guard.clear_ready();
                bursts
            }
            Err(error) => {
                error!(%error, "The ring buffer cannot be polled any more");
                *self = BurstStream::Silent;
                Vec::new()
            }
        }
    }
}
