//! The connection to the agent: dials the socket, and says in words why it could not.

use std::io;
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::v1::agent_client::AgentClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::exit::Failure;

/// A local socket answers at once or not at all.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// A machine with 512 CPUs and thousands of workloads fits many times.
const MAX_REPLY_BYTES: usize = 64 << 20;

pub(crate) type Client = AgentClient<Channel>;

pub(crate) async fn connect(socket: &Path) -> Result<Client, Failure> {
    let dial = tokio::time::timeout(CONNECT_DEADLINE, UnixStream::connect(socket));
    let first = match dial.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(socket, &error)),
        Err(_) => return Err(unreachable(socket, &io::ErrorKind::TimedOut.into())),
    };
    let mut first = Some(TokioIo::new(first));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = first.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        async move { stream }
    });
    let endpoint = Endpoint::from_static("http://agent.sock");
    match endpoint.connect_with_connector(connector).await {
        Ok(channel) => Ok(AgentClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES)),
        Err(_) => Err(unreachable(socket, &io::ErrorKind::InvalidData.into())),
    }
}

/// The likely reason, and what to do.
fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let (reason, fix) = match error.kind() {
        io::ErrorKind::NotFound => (
            "there is no such socket, so the agent is probably not running",
            "start it with `berth-agent`, or name another socket with --socket or BERTH_SOCKET",
        ),
        io::ErrorKind::ConnectionRefused => (
            "the socket is there but nobody listens, so the agent has died",
            "see why in its log and start it again; it replaces the old socket",
        ),
        io::ErrorKind::PermissionDenied => (
            "permission denied",
            "run as root, or join the group: `usermod -aG berth YOU`, then log in again",
        ),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => (
            "it does not accept connections; it is stopped or busy",
            "look at the agent with `ps` and its log",
        ),
        io::ErrorKind::InvalidData => (
            "something listens, but it does not speak the agent's protocol",
            "check --socket and BERTH_SOCKET",
        ),
        _ => ("the socket cannot be opened", "check --socket and BERTH_SOCKET"),
    };
    Failure::Unreachable { socket: socket.to_owned(), reason, fix }
}
