//! Reading and watching keys below a prefix with etcd's protocol. Owns pages, deadlines and what is said of a store that is not there.

use std::time::Duration;

use bytes::Bytes;
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::watch_client::WatchClient;
use proto::etcd::etcdserverpb::watch_request::RequestUnion;
use proto::etcd::etcdserverpb::{RangeRequest, WatchCreateRequest, WatchRequest, WatchResponse};
use proto::etcd::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::credentials::{Credentials, Unreadable};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Of keys at a time: 64 KiB each at the most.
const PAGE: i64 = 500;
const MOST_BYTES: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("--endpoint {url}: allowed is http://ADDRESS:PORT or https://ADDRESS:PORT")]
    Url { url: String },
    #[error(transparent)]
    File(#[from] Unreadable),
    #[error("the certificates cannot be used for {url}")]
    Tls { url: String, source: tonic::transport::Error },
    #[error("no store answers at {url} (is it running there? --endpoint names another one)")]
    Connect { url: String, source: tonic::transport::Error },
    #[error("the store at {url} was asked for {what} and says {code:?}: {message}")]
    Refused { url: String, what: &'static str, code: tonic::Code, message: String },
    #[error("the store at {url} ended the watch: {why}")]
    WatchEnded { url: String, why: String },
}

impl ClientError {
    /// Of a store that was there before.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, ClientError::WatchEnded { .. })
    }
}

pub(super) struct Client {
    url: String,
    channel: Channel,
}

/// Name of a node, and what its key says.
pub(super) type Named = (String, Bytes);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Put { name: String, value: Bytes },
    Gone { name: String },
}

impl Client {
    pub(super) async fn connect(
        url: &str,
        credentials: &Credentials,
    ) -> Result<Client, ClientError> {
        let bad_url = || ClientError::Url { url: url.to_owned() };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(bad_url());
        }
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_invalid| bad_url())?;
        let mut endpoint = endpoint.connect_timeout(CONNECT_LIMIT);
        if url.starts_with("https://") {
            let broken = |source| ClientError::Tls { url: url.to_owned(), source };
            endpoint = endpoint.tls_config(credentials.tls()?).map_err(broken)?;
        }
        let connected = endpoint.connect().await;
        let channel =
            connected.map_err(|source| ClientError::Connect { url: url.to_owned(), source })?;
        Ok(Client { url: url.to_owned(), channel })
    }

    /// All of them at one revision, by name.
    pub(super) async fn list(&mut self, prefix: &str) -> Result<(Vec<Named>, i64), ClientError> {
        let mut client = KvClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES);
        let range_end = end_of(prefix);
        let (mut named, mut revision) = (Vec::new(), 0);
        let mut key = Bytes::copy_from_slice(prefix.as_bytes());
        loop {
            let range_end = range_end.clone();
            let request =
                RangeRequest { key, range_end, limit: PAGE, revision, ..RangeRequest::default() };
            let mut request = tonic::Request::new(request);
            request.set_timeout(ANSWER_LIMIT);
            let answer = client.range(request).await;
            let answer = answer.map_err(|status| self.refused("the nodes", &status))?.into_inner();
            revision = answer.header.map_or(revision, |header| match revision {
                0 => header.revision,
                first => first,
            });
            let last = answer.kvs.last().map(|kv| [&kv.key[..], b"\0"].concat());
            named.extend(answer.kvs.into_iter().map(|kv| (name_of(&kv.key, prefix), kv.value)));
            match last {
                Some(next) if answer.more => key = Bytes::from(next),
                _ => return Ok((named, revision)),
            }
        }
    }

    pub(super) async fn follow(
        &mut self,
        prefix: &str,
        start_revision: i64,
    ) -> Result<Changes, ClientError> {
        let create = WatchCreateRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: end_of(prefix),
            start_revision,
            ..WatchCreateRequest::default()
        };
        let (requests, stream) = mpsc::channel(1);
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The receiver is in our hands still.
        let _ = requests.send(create).await;
        let mut client =
            WatchClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES);
        let answer = client.watch(ReceiverStream::new(stream)).await;
        let answers = answer.map_err(|status| self.refused("a watch", &status))?.into_inner();
        let (url, prefix) = (self.url.clone(), prefix.to_owned());
        Ok(Changes { url, prefix, answers, _requests: requests })
    }

    fn refused(&self, what: &'static str, status: &Status) -> ClientError {
        let (url, message) = (self.url.clone(), status.message().to_owned());
        ClientError::Refused { url, what, code: status.code(), message }
    }
}

/// A watch that is open.
pub(super) struct Changes {
    url: String,
    prefix: String,
    answers: Streaming<WatchResponse>,
    /// The stream ends when it is dropped.
    _requests: mpsc::Sender<WatchRequest>,
}

impl Changes {
    pub(super) async fn next(&mut self) -> Result<Vec<Change>, ClientError> {
        let ended = |why: String| ClientError::WatchEnded { url: self.url.clone(), why };
        let answer = match self.answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(ended("without a reason".to_owned())),
            Err(status) => return Err(ended(status.message().to_owned())),
        };
        if answer.canceled {
            return Err(ended(answer.cancel_reason));
        }
        let changes = answer.events.into_iter().filter_map(|event| {
            let kind = event.r#type();
            let kv = event.kv?;
            let name = name_of(&kv.key, &self.prefix);
            Some(match kind {
                EventType::Put => Change::Put { name, value: kv.value },
                EventType::Delete => Change::Gone { name },
            })
        });
        Ok(changes.collect())
    }
}

fn name_of(key: &[u8], prefix: &str) -> String {
    let name = key.strip_prefix(prefix.as_bytes()).unwrap_or(key);
    String::from_utf8_lossy(name).into_owned()
}

/// The first key behind all that begin with `prefix`, which ends with a slash.
fn end_of(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    Bytes::from(end)
}
