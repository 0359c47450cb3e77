//! Connections of agents: TLS with certificates that are read again when they are renewed, handed to gRPC as a stream. Owns handshakes and
//! how many there may be at a time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metastore::server::tls::Certificates;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

/// Longer than any agent takes to say who it is.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// At a time: after a restart all agents come back at once, and a handshake is a millisecond of a CPU.
const MOST_HANDSHAKES: usize = 256;

pub(super) type Agents = ReceiverStream<io::Result<TlsStream<TcpStream>>>;

/// Ends with the stream.
pub(super) fn agents(listener: TcpListener, certificates: Arc<Certificates>) -> Agents {
    let (ready, agents) = mpsc::channel(64);
    let slots = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    tokio::spawn(async move {
        while !ready.is_closed() {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (ready, certificates) = (ready.clone(), Arc::clone(&certificates));
                    tokio::spawn(async move {
                        let shaken = handshake(stream, &certificates).await;
                        drop(slot);
                        match shaken {
                            // A server that is over takes nobody.
                            Ok(stream) => drop(ready.send(Ok(stream)).await),
                            Err(error) => debug!(%error, %peer, "An agent is not let in"),
                        }
                    });
                }
                Err(error) => {
                    // Mostly too many open files: the next try may find one closed.
                    warn!(%error, "No connection of an agent can be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    ReceiverStream::new(agents)
}

async fn handshake(
    stream: TcpStream,
    certificates: &Certificates,
) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    let accepting = TlsAcceptor::from(certificates.current()).accept(stream);
    tokio::time::timeout(HANDSHAKE_LIMIT, accepting).await?
}
