//! An etcd with an empty store, which ends when it is dropped.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proto::etcd::etcdserverpb::StatusRequest;
use proto::etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use tempfile::TempDir;
use tonic::transport::Endpoint;

#[derive(Debug)]
pub(super) struct Etcd {
    process: Child,
    pub(super) url: String,
    // Behind the process, which writes into it.
    _folder: TempDir,
}

/// How often it is asked whether it answers: half a minute in all.
const TRIES: usize = 600;

impl Etcd {
    /// Returns when it answers.
    pub(super) async fn start(program: &Path, progress_every: Duration) -> Etcd {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (url, peers) = (free_url(), free_url());
        let process = Command::new(program)
            .arg("--data-dir")
            .arg(folder.path().join("etcd"))
            .arg(format!("--listen-client-urls={url}"))
            .arg(format!("--advertise-client-urls={url}"))
            .arg(format!("--listen-peer-urls={peers}"))
            .arg(format!("--initial-advertise-peer-urls={peers}"))
            .arg(format!("--initial-cluster=default={peers}"))
            .arg(format!("--watch-progress-notify-interval={}ms", progress_every.as_millis()))
            // Nobody reads the store after a power cut.
            .args(["--unsafe-no-fsync", "--log-level=fatal"])
            .stdin(Stdio::null())
            .spawn();
        let process =
            process.unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
        let etcd = Etcd { process, url, _folder: folder };
        etcd.ready().await;
        etcd
    }

    async fn ready(&self) {
        for _ in 0..TRIES {
            let endpoint = Endpoint::from_shared(self.url.clone()).expect("it is a URL");
            let mut client = MaintenanceClient::new(endpoint.connect_lazy());
            if client.status(StatusRequest::default()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("etcd at {} does not answer", self.url);
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn free_url() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    format!("http://{address}")
}
