//! One metastore of ours, which can be killed and started again.

use std::path::PathBuf;

use anyhow::Context as _;
use kube::{Client, Config};

use crate::bench::Bench;
use crate::pki::Pki;
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
    /// Flags for nodes that report, and the port.
    reports: Option<(Vec<String>, u16)>,
}

impl Metastore {
    /// Returns when it answers reads and writes.
    pub async fn start(bench: &Bench) -> anyhow::Result<Metastore> {
        Metastore::start_with(bench, None).await
    }

    /// The same, and nodes of a cluster report into it every three seconds, with certificates of `pki`.
    pub async fn start_for_reports(
        bench: &Bench,
        pki: &Pki,
        cluster: &str,
    ) -> anyhow::Result<Metastore> {
        let own = pki.server("metastore")?;
        let flags = vec![
            format!("--report-ca-file={}", pki.authority().display()),
            format!("--cert-file={}", own.certificate().display()),
            format!("--key-file={}", own.key().display()),
            format!("--report-cluster={cluster}"),
            "--report-interval=3s".to_owned(),
            "--node-report-min-interval=2s".to_owned(),
        ];
        Metastore::start_for(bench, "https", flags).await
    }

    /// The same without certificates, for very many nodes that are played.
    pub async fn start_for_many(bench: &Bench, cluster: &str) -> anyhow::Result<Metastore> {
        let flags = vec![format!("--report-cluster={cluster}")];
        Metastore::start_for(bench, "http", flags).await
    }

    async fn start_for(
        bench: &Bench,
        scheme: &str,
        mut flags: Vec<String>,
    ) -> anyhow::Result<Metastore> {
        let port = port::reserve().context("reserve a port for reports")?;
        flags.push(format!("--listen-report-url={scheme}://127.0.0.1:{port}"));
        Metastore::start_with(bench, Some((flags, port))).await
    }

    async fn start_with(
        bench: &Bench,
        reports: Option<(Vec<String>, u16)>,
    ) -> anyhow::Result<Metastore> {
        let folder = bench.own_folder("metastore")?;
        let port = port::reserve().context("reserve a port for a metastore")?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut metastore = Metastore {
            process: None,
            folder,
            program: programs::built(PROGRAM)?,
            endpoint,
            reports,
        };
        metastore.start_again().await?;
        Ok(metastore)
    }

    /// The same store at the same port.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let mut arguments = vec![
            "metastore".to_owned(),
            format!("--data-dir={}", self.folder.join("store").display()),
            format!("--listen-client-urls={}", self.endpoint),
        ];
        arguments.extend(self.reports.iter().flat_map(|(flags, _)| flags.clone()));
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

    /// Where nodes report to, if they do.
    pub fn report_port(&self) -> Option<u16> {
        self.reports.as_ref().map(|(_, port)| *port)
    }

    /// Time of CPUs that it has used; `None` when it has ended.
    pub fn cpu_ms(&self) -> Option<u64> {
        self.process.as_ref().and_then(Process::cpu_ms)
    }

    /// Resident memory in KiB; `None` when it has ended.
    pub fn memory_kib(&self) -> Option<u64> {
        self.process.as_ref().and_then(Process::memory_kib)
    }
}
