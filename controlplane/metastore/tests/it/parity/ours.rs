//! This store, in the process of the test.

use std::net::Ipv4Addr;
use std::time::Duration;

use metastore::grpc::Settings;
use metastore::service::{self, Allowed, Config, Deps, EngineUrl, Listener, ServiceError};
use proto::etcd::etcdserverpb::StatusRequest;
use proto::etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    InMemory,
    InLog,
}

#[derive(Debug)]
pub(super) struct Ours {
    pub(super) url: String,
    kept: Kept,
    folder: TempDir,
    progress_every: Duration,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServiceError>>,
}

/// Of what happened last, and of what waits for a stream, the store with a log keeps so little that watches read on from the log.
const RECENT_BYTES_BY_LOG: usize = 2 << 10;
const STREAM_BYTES_BY_LOG: usize = 1 << 10;

/// Small, so that a long run has many files.
const SEGMENT_BYTES: u64 = 1 << 20;

/// A folder is locked until the last connection is gone, a little after the service has ended.
const TRIES: usize = 200;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

impl Ours {
    pub(super) async fn start(kept: Kept, progress_every: Duration) -> Ours {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Ours::serve(kept, folder, progress_every).await
    }

    async fn answers(&self) -> bool {
        let endpoint = Endpoint::from_shared(self.url.clone()).expect("it is a URL");
        let mut client = MaintenanceClient::new(endpoint.connect_lazy());
        client.status(StatusRequest::default()).await.is_ok()
    }

    /// The same store in a new service. What is in memory is only kept as long as the service is.
    pub(super) async fn again(self) -> Ours {
        let Ours { kept, folder, progress_every, stop, ended, .. } = self;
        if kept == Kept::InMemory {
            panic!("a store in memory has no second start");
        }
        stop.send(()).expect("the service runs");
        ended.await.expect("the service does not panic").expect("the service ends well");
        let mut folder = folder;
        for _ in 0..TRIES {
            let ours = Ours::serve(kept, folder, progress_every).await;
            if ours.answers().await {
                return ours;
            }
            folder = ours.folder;
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        panic!("the folder stays locked")
    }

    pub(super) fn kept(&self) -> Kept {
        self.kept
    }

    async fn serve(kept: Kept, folder: TempDir, progress_every: Duration) -> Ours {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let url = format!("http://{address}");
        let (recent_bytes, stream_bytes) = match kept {
            Kept::InMemory => (32 << 20, 8 << 20),
            Kept::InLog => (RECENT_BYTES_BY_LOG, STREAM_BYTES_BY_LOG),
        };
        let settings = Settings {
            name: "default".to_owned(),
            client_urls: vec![url.clone()],
            max_request_bytes: 1_572_864,
            max_txn_ops: 128,
            quota_bytes: 0,
            progress_every,
            stream_bytes,
        };
        let engine = match kept {
            Kept::InMemory => EngineUrl::Memory,
            Kept::InLog => EngineUrl::Log { folder: folder.path().join("log") },
        };
        let config = Config {
            engine,
            segment_bytes: SEGMENT_BYTES,
            recent_bytes,
            settings,
            allowed: Allowed::default(),
        };
        let (stop, stopping) = oneshot::channel();
        let shutdown = async move { drop(stopping.await) };
        let listener = Listener { socket: listener, certificates: None };
        let deps = Deps { listeners: vec![listener], pages: Vec::new(), opened: None };
        let ended = tokio::spawn(service::run(config, deps, shutdown));
        Ours { url, kept, folder, progress_every, stop, ended }
    }
}
