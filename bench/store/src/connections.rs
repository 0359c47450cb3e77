//! Connections to one server, each an HTTP/2 connection of its own that many clients share, as those of an apiserver do.

use std::sync::Arc;

use anyhow::Context as _;
use proto::etcd::etcdserverpb::kv_client::KvClient;
use proto::etcd::etcdserverpb::watch_client::WatchClient;
use tonic::transport::{Channel, Endpoint};

/// How many a generator opens, whatever the number of clients.
pub(crate) const N_CONNECTIONS: usize = 8;
/// A list of 100 MB must not wait for window updates of 64 KiB, the default.
const WINDOW_BYTES: u32 = 8 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Connections(Arc<Vec<Channel>>);

impl Connections {
    pub(crate) async fn open(endpoint: &str) -> anyhow::Result<Connections> {
        let mut channels = Vec::with_capacity(N_CONNECTIONS);
        for _ in 0..N_CONNECTIONS {
            channels.push(connect(endpoint).await?);
        }
        Ok(Connections(Arc::new(channels)))
    }

    /// The connection of a client: the eighth client shares with the first.
    pub(crate) fn channel(&self, client: usize) -> Channel {
        self.0[client % N_CONNECTIONS].clone()
    }

    pub(crate) fn kv(&self, client: usize) -> KvClient<Channel> {
        KvClient::new(self.channel(client)).max_decoding_message_size(usize::MAX)
    }

    pub(crate) fn watch(&self, client: usize) -> WatchClient<Channel> {
        WatchClient::new(self.channel(client)).max_decoding_message_size(usize::MAX)
    }
}

/// One connection; fails at once when nobody listens.
pub(crate) async fn connect(endpoint: &str) -> anyhow::Result<Channel> {
    let channel = Endpoint::from_shared(endpoint.to_owned())
        .with_context(|| format!("take {endpoint:?} as an endpoint"))?
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .tcp_nodelay(true);
    channel.connect().await.with_context(|| format!("connect to {endpoint}"))
}
