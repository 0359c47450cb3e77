//! Makes one connection: reads what the agent shows to be believed, connects, opens the stream. Owns every way in which
//! a connection ends. Files are read anew each time, since certificates and tokens are renewed while the agent runs; a
//! secret is in memory for as long as a connection is made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::v1::node_reporting_client::NodeReportingClient;
use proto::v1::{NodeDirective, NodeReport};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status, Streaming};

use super::talk::Fault;
use crate::config::ReportConfig;

/// From the first packet to the open stream. A server farther away than this is not one to report to every few seconds.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// A machine that is switched off says nothing: only a question finds out.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(10);
/// A directive with a policy document, which is a configuration file, and some more.
const MAX_DIRECTIVE_BYTES: usize = 1 << 20;

/// How a connection ended, or why there was none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("cannot read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} holds no token: one line of visible ASCII", path.display())]
    Token { path: PathBuf },
    #[error("cannot use the certificates for TLS")]
    Tls(#[source] tonic::transport::Error),
    #[error("cannot connect")]
    Connect(#[source] tonic::transport::Error),
    #[error("no stream within {} s", OPEN_LIMIT.as_secs())]
    Slow,
    #[error("{code:?}: {message}")]
    Status { code: Code, message: String },
    #[error("the server ended the stream without a reason")]
    Closed,
    #[error("there is nothing to tell: the loop does not turn")]
    NoState,
    #[error("the apiserver has not told which Node this is")]
    NoName,
    #[error("the Node is another one under the same name: its uid was {was}")]
    OtherNode { was: String },
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Ended {
        let said = status.message();
        // Of an error in the transport the status itself says nothing.
        let message = match std::error::Error::source(&status) {
            Some(cause) => format!("{said}: {}", kit::chain(cause)),
            None => said.to_owned(),
        };
        Ended::Status { code: status.code(), message }
    }
}

impl Ended {
    /// The other end has heard us and does not want us; what it says will not change by itself.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Ended::Status { code, .. } => matches!(
                code,
                Code::Unauthenticated
                    | Code::PermissionDenied
                    | Code::InvalidArgument
                    | Code::OutOfRange
                    | Code::ResourceExhausted
                    | Code::FailedPrecondition
                    | Code::Unimplemented
            ),
            Ended::Fault(Fault::NoAnswer { .. }) => false,
            Ended::Fault(_) => true,
            _ => false,
        }
    }

    /// For metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Ended::File { .. } | Ended::Token { .. } | Ended::Tls(_) => "files",
            Ended::Connect(_) | Ended::Slow => "connect",
            Ended::NoState => "no_state",
            Ended::NoName | Ended::OtherNode { .. } => "other_node",
            Ended::Fault(Fault::NoAnswer { .. }) => "no_answer",
            Ended::Fault(_) => "contract",
            Ended::Status { .. } if self.is_refusal() => "refused",
            Ended::Status { .. } | Ended::Closed => "lost",
        }
    }
}

/// An open stream. At most one report is on its way, so the queue never holds two.
pub(super) struct Stream {
    pub(super) reports: mpsc::Sender<NodeReport>,
    pub(super) directives: Streaming<NodeDirective>,
}

/// Connects; not to be waited for without an end.
pub(super) async fn connected(endpoint: &str, config: &ReportConfig) -> Result<Channel, Ended> {
    let target = Channel::from_shared(endpoint.to_owned());
    // The configuration has checked it.
    let target = target.map_err(|error| Ended::from(Status::internal(error.to_string())))?;
    let mut target = target
        .connect_timeout(OPEN_LIMIT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_LIMIT)
        .keep_alive_while_idle(true);
    if endpoint.starts_with("https:") {
        target = target.tls_config(tls(config).await?).map_err(Ended::Tls)?;
    }
    let connecting = timeout(OPEN_LIMIT, target.connect());
    connecting.await.map_err(|_elapsed| Ended::Slow)?.map_err(Ended::Connect)
}

/// Opens the stream with its first report, which a server may want to see before it answers.
pub(super) async fn opened(
    channel: Channel,
    config: &ReportConfig,
    first: NodeReport,
) -> Result<Stream, Ended> {
    let (reports, outgoing) = mpsc::channel(1);
    // It is empty.
    drop(reports.try_send(first));
    let mut request = Request::new(ReceiverStream::new(outgoing));
    if let Some(path) = &config.token_file {
        request.metadata_mut().insert("authorization", bearer(path).await?);
    }
    let mut client =
        NodeReportingClient::new(channel).max_decoding_message_size(MAX_DIRECTIVE_BYTES);
    let opening = timeout(OPEN_LIMIT, client.report(request));
    let answer = opening.await.map_err(|_elapsed| Ended::Slow)??;
    Ok(Stream { reports, directives: answer.into_inner() })
}

async fn tls(config: &ReportConfig) -> Result<ClientTlsConfig, Ended> {
    let mut tls = ClientTlsConfig::new();
    if let Some(path) = &config.ca_file {
        tls = tls.ca_certificate(Certificate::from_pem(read(path).await?));
    }
    if let Some(files) = &config.identity {
        let (certificate, key) = (read(&files.certificate).await?, read(&files.key).await?);
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok(tls)
}

async fn bearer(path: &Path) -> Result<AsciiMetadataValue, Ended> {
    let token = || Ended::Token { path: path.to_owned() };
    let bytes = read(path).await?;
    let text = str::from_utf8(&bytes).map_err(|_not_text| token())?.trim();
    if text.is_empty() {
        return Err(token());
    }
    let value: Result<AsciiMetadataValue, _> = format!("Bearer {text}").parse();
    let mut value = value.map_err(|_not_ascii| token())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Away from the thread of all endpoints: a file may lie on a file system that hangs.
async fn read(path: &Path) -> Result<Vec<u8>, Ended> {
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || std::fs::read(owned));
    let bytes = match timeout(OPEN_LIMIT, reading).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_panic)) => Err(std::io::ErrorKind::Other.into()),
        Err(_elapsed) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    bytes.map_err(|source| Ended::File { path: path.to_owned(), source })
}
