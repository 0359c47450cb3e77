//! Accepting under a limit: a connection holds one of so many slots for as long as it is open.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, UdsConnectInfo};
use tracing::{Instrument, info_span, warn};

/// People at terminals and a few scripts; more wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 32;
/// Under file-descriptor exhaustion `accept` fails at once; do not spin on it.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A stream of accepted connections; it ends when the second value is dropped.
pub(super) fn accept(
    listener: UnixListener,
) -> (ReceiverStream<Result<Connection, io::Error>>, JoinSet<()>) {
    let (to_server, accepted) = mpsc::channel(1);
    let mut task = JoinSet::new();
    task.spawn(accept_forever(listener, to_server).instrument(info_span!("accept")));
    (ReceiverStream::new(accepted), task)
}

async fn accept_forever(
    listener: UnixListener,
    to_server: mpsc::Sender<Result<Connection, io::Error>>,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = Connection { stream, _slot: slot };
                if to_server.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                warn!(%error, "Cannot accept a connection to the agent's socket");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// A peer and its slot.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    _slot: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
