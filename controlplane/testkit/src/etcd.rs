//! One etcd, the store of an apiserver.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use kube::{Client, Config};

use crate::bench::Bench;
use crate::process::Process;
use crate::{port, ready};

/// A running etcd with an empty store.
#[derive(Debug)]
pub struct Etcd {
    process: Process,
    endpoint: String,
    // Behind the process, so that it is removed when nobody writes into it any more.
    _store: Store,
}

impl Etcd {
    /// Returns when it answers reads and writes.
    pub async fn start(bench: &Bench) -> anyhow::Result<Etcd> {
        let folder = bench.own_folder("etcd")?;
        let store = Store(folder.join("store"));
        let endpoint = reserve()?;
        let peers = reserve()?;
        let arguments = [
            format!("--data-dir={}", store.0.display()),
            format!("--listen-client-urls={endpoint}"),
            format!("--advertise-client-urls={endpoint}"),
            // A member always listens for others, though this one will have none.
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            // Nobody reads the store after a power cut.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let program = bench.programs().path("etcd")?;
        let mut process = Process::start(&folder, &program, arguments)?;
        let url = endpoint.parse().with_context(|| format!("take {endpoint} as a URL"))?;
        let client = Client::try_from(Config::new(url)).context("make a client")?;
        ready::wait(&mut process, &client, "/readyz").await?;
        Ok(Etcd { process, endpoint, _store: store })
    }

    /// What an apiserver's `--etcd-servers` takes.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Resident memory in KiB; `None` when it has ended.
    pub fn memory_kib(&self) -> Option<u64> {
        self.process.memory_kib()
    }
}

fn reserve() -> anyhow::Result<String> {
    let port = port::reserve().context("reserve a port for etcd")?;
    Ok(format!("http://127.0.0.1:{port}"))
}

/// Its files are large and nobody looks at them afterwards.
#[derive(Debug)]
struct Store(PathBuf);

impl Drop for Store {
    fn drop(&mut self) {
        // The next run of the same test empties the folder.
        drop(fs::remove_dir_all(&self.0));
    }
}
