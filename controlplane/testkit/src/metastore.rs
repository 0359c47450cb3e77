//! One metastore of ours, which can be killed and started again.

use std::path::PathBuf;

use anyhow::Context as _;
use kube::{Client, Config};

use crate::bench::Bench;
use crate::process::Process;
use crate::{port, programs, ready};

/// The program, built beside the tests.
const PROGRAM: &str = "berth-control";

/// A running metastore, with an empty store at its first start.
#[derive(Debug)]
pub struct Metastore {
    process: Option<Process>,
    folder: PathBuf,
    program: PathBuf,
    endpoint: String,
}

impl Metastore {
    /// Returns when it answers reads and writes.
    pub async fn start(bench: &Bench) -> anyhow::Result<Metastore> {
        let folder = bench.own_folder("metastore")?;
        let port = port::reserve().context("reserve a port for a metastore")?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut metastore =
            Metastore { process: None, folder, program: programs::built(PROGRAM)?, endpoint };
        metastore.start_again().await?;
        Ok(metastore)
    }

    /// The same store at the same port.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let arguments = [
            "metastore".to_owned(),
            format!("--data-dir={}", self.folder.join("store").display()),
            format!("--listen-client-urls={}", self.endpoint),
        ];
        self.process = None;
        let process = Process::start(&self.folder, &self.program, arguments)?;
        let process = self.process.insert(process);
        let url =
            self.endpoint.parse().with_context(|| format!("take {} as a URL", self.endpoint))?;
        let client = Client::try_from(Config::new(url)).context("make a client")?;
        ready::wait(process, &client, "/readyz").await
    }

    /// As by `kill -9`: nothing is closed.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// What an apiserver's `--etcd-servers` takes.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Resident memory in KiB; `None` when it has ended.
    pub fn memory_kib(&self) -> Option<u64> {
        self.process.as_ref().and_then(Process::memory_kib)
    }
}
