//! The agent's gRPC service on its Unix socket. Owns the socket, who may call what, and the
//! conversions at this edge; decides nothing and holds no state: reads come from the state the
//! loop publishes, changes are requests to the loop.

mod connections;
pub(crate) mod convert;
mod explain;
mod headroom;
mod service;
mod socket;
mod streams;
mod why_slow;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use proto::v1::agent_server::AgentServer;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::transport::Server;

use crate::node_state::{NodeState, Request};
use crate::policy_table::PolicyTable;

pub use socket::BindError;

/// Requests are a name or a number; more is not one of ours.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
const MAX_HEADER_BYTES: u32 = 8 * 1024;
/// Calls one connection may have open: one watch and what a person types beside it.
const MAX_STREAMS: u32 = 16;
/// What open calls get to finish at shutdown; watches never would.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// What the service reads from and sends to.
#[derive(Clone)]
pub struct ServeDeps {
    pub state: watch::Receiver<Arc<NodeState>>,
    pub requests: mpsc::Sender<Request>,
    /// Runs the checks of `berth doctor`; may block, it gets a thread of its own.
    pub doctor: Arc<dyn Fn() -> Vec<Check> + Send + Sync>,
    /// What the agent was started with.
    pub policy: Arc<PolicyTable>,
    /// CLOCK_MONOTONIC.
    pub clock: fn() -> Timestamp,
}

impl std::fmt::Debug for ServeDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeDeps").finish_non_exhaustive()
    }
}

/// One precondition of the agent's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub status: CheckStatus,
    pub detail: String,
    /// What to do about it, as a command where there is one; empty when it holds.
    pub fix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    Ok,
    /// The agent works, but less well.
    Warn,
    /// The agent cannot do its main job.
    Fail,
}

/// Why the service ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot open the agent's socket")]
    Bind(#[source] BindError),
    #[error("serving {path} failed")]
    Serve {
        path: PathBuf,
        #[source]
        source: tonic::transport::Error,
    },
}

/// Binds `socket_path` and answers until `shutdown`; then removes the socket.
pub async fn serve(
    socket_path: &Path,
    deps: ServeDeps,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let socket = socket::bind(socket_path, Path::new("/etc/group")).map_err(ServeError::Bind)?;
    let (incoming, _accepting) = connections::accept(socket.listener);
    let (begun, shutdown_begun) = oneshot::channel();
    let signal = async move {
        shutdown.await;
        // nobody listens only when the server has ended by itself
        let _ = begun.send(());
    };
    let service =
        AgentServer::new(service::Service { deps }).max_decoding_message_size(MAX_REQUEST_BYTES);
    let server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .serve_with_incoming_shutdown(service, incoming, signal);
    let grace_over = async move {
        let _ = shutdown_begun.await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    let result = tokio::select! {
        result = server => result,
        () = grace_over => Ok(()),
    };
    socket.identity.remove();
    result.map_err(|source| ServeError::Serve { path: socket_path.to_owned(), source })
}

#[cfg(test)]
pub(crate) mod tests;
