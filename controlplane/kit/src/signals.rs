//! The signals that end a process in an orderly way.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Why a process could not be made to listen to its signals.
#[derive(Debug, thiserror::Error)]
#[error("cannot handle {signal}")]
pub struct SignalError {
    signal: &'static str,
    #[source]
    source: io::Error,
}

/// Resolves with the signal's name at the first SIGTERM or SIGINT. Handlers are in place when this
/// returns, so a signal between here and the first poll is not lost.
pub fn shutdown_signal() -> Result<impl Future<Output = &'static str>, SignalError> {
    let listen = |kind, name| signal(kind).map_err(|source| SignalError { signal: name, source });
    let mut term = listen(SignalKind::terminate(), "SIGTERM")?;
    let mut interrupt = listen(SignalKind::interrupt(), "SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
