//! The servers under load: which program with which arguments, its folder and its port. All write to the same disk, and all wait for it
//! before they acknowledge.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use proto::etcd::etcdserverpb::RangeRequest;
use proto::etcd::etcdserverpb::kv_client::KvClient;

use crate::connections;
use crate::process::Process;
use crate::scenario::Scenario;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Etcd,
    /// On SQLite.
    Kine,
    /// Berth's metastore.
    Berth,
}

/// `KIND=PROGRAM` on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    kind: Kind,
    program: PathBuf,
}

impl FromStr for Launch {
    type Err = String;

    fn from_str(text: &str) -> Result<Launch, String> {
        let (kind, program) = text.split_once('=').unwrap_or((text, ""));
        let kinds = [Kind::Etcd, Kind::Kine, Kind::Berth];
        let kind = kinds.into_iter().find(|it| it.name() == kind);
        let kind = kind.ok_or_else(|| {
            format!("no server {text:?}; there are etcd=, kine= and berth=PROGRAM")
        })?;
        Ok(Launch { kind, program: PathBuf::from(program) })
    }
}

impl Launch {
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Whether this server is measured in a run, from 1 on. Kine takes five minutes to be given 100,000 objects and seconds to count them: an
    /// hour for one run, and no bar is beside it.
    pub(crate) fn is_due(&self, run: u32, scenario: Scenario) -> bool {
        self.kind != Kind::Kine || (run == 1 && scenario == Scenario::Writes)
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Etcd => "etcd",
            Kind::Kine => "kine",
            Kind::Berth => "berth",
        }
    }

    fn arguments(self, store: &Path, port: u16, peer_port: u16) -> Vec<String> {
        let (store, client) = (store.display(), format!("http://127.0.0.1:{port}"));
        let peer = format!("http://127.0.0.1:{peer_port}");
        match self {
            Kind::Etcd => vec![
                format!("--data-dir={store}"),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=default={peer}"),
                // The most that etcd advises; a million objects of 1 KiB do not fit into the usual 2 GiB.
                "--quota-backend-bytes=8589934592".to_owned(),
                "--auto-compaction-retention=0".to_owned(),
                "--log-level=warn".to_owned(),
            ],
            // The driver's default in WAL mode acknowledges before anything is on the disk; FULL waits, as the others do. The rest is what
            // kine uses when no file is named.
            Kind::Kine => vec![
                format!(
                    "--endpoint=sqlite://{store}/state.db?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate&_synchronous=FULL"
                ),
                format!("--listen-address=tcp://127.0.0.1:{port}"),
                "--metrics-bind-address=0".to_owned(),
            ],
            Kind::Berth => vec![
                "metastore".to_owned(),
                format!("--data-dir={store}"),
                format!("--listen-client-urls={client}"),
            ],
        }
    }
}

/// A running server with a folder of its own, which goes with it.
#[derive(Debug)]
pub(crate) struct Server {
    launch: Launch,
    cpus: Option<String>,
    store: PathBuf,
    log: PathBuf,
    port: u16,
    process: Process,
}

impl Server {
    /// With an empty store in `folder`; answers when it does.
    pub(crate) async fn start(
        launch: &Launch,
        folder: &Path,
        cpus: Option<&str>,
    ) -> anyhow::Result<Server> {
        let store = folder.join(format!("{}-store", launch.name()));
        if store.exists() {
            fs::remove_dir_all(&store).with_context(|| format!("empty {}", store.display()))?;
        }
        fs::create_dir_all(&store).with_context(|| format!("create {}", store.display()))?;
        let log = folder.join(format!("{}.log", launch.name()));
        let port = free_port()?;
        let process = start(launch, &store, port, cpus, &log)?;
        let cpus = cpus.map(str::to_owned);
        let mut server = Server { launch: launch.clone(), cpus, store, log, port, process };
        server.wait_for_range().await?;
        Ok(server)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        self.process.check()
    }

    /// On the store that a killed one has left: from the start of the process to the first answer to a Range.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.process =
            start(&self.launch, &self.store, self.port, self.cpus.as_deref(), &self.log)?;
        self.wait_for_range().await?;
        Ok(began.elapsed())
    }

    async fn wait_for_range(&mut self) -> anyhow::Result<()> {
        let (endpoint, began) = (self.endpoint(), Instant::now());
        loop {
            self.process.check()?;
            match range(&endpoint).await {
                Ok(()) => return Ok(()),
                Err(error) if began.elapsed() > START_LIMIT => {
                    return Err(error)
                        .with_context(|| format!("{} does not come up", self.launch.name()));
                }
                Err(_not_yet) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }
}

/// kine rewrites its whole file at a start, a million objects take minutes.
const START_LIMIT: Duration = Duration::from_secs(600);
const ASK_AGAIN: Duration = Duration::from_millis(2);
/// An answer to one question at a server that has just begun to listen.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

async fn range(endpoint: &str) -> anyhow::Result<()> {
    let mut kv = KvClient::new(connections::connect(endpoint).await?);
    let key = "/registry/health".into();
    let asked = kv.range(RangeRequest { key, ..RangeRequest::default() });
    let answer = tokio::time::timeout(ANSWER_LIMIT, asked).await.context("no answer")??;
    ensure!(answer.get_ref().header.is_some(), "an answer without a header");
    Ok(())
}

fn start(
    launch: &Launch,
    store: &Path,
    port: u16,
    cpus: Option<&str>,
    log: &Path,
) -> anyhow::Result<Process> {
    let arguments = launch.kind.arguments(store, port, free_port_after(port)?);
    Process::start(&launch.program, &arguments, cpus, log)
}

/// Below those that the kernel gives to outgoing connections (32768): while a server is down nobody else comes to have its port.
const PORTS: std::ops::Range<u16> = 23_790..32_000;

fn free_port() -> anyhow::Result<u16> {
    free_port_after(PORTS.start)
}

fn free_port_after(port: u16) -> anyhow::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    match (port + 1..PORTS.end).find(is_free) {
        Some(port) => Ok(port),
        None => bail!("no port of {}..{} is free", port + 1, PORTS.end),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill();
        // The next one of the same kind empties it.
        drop(fs::remove_dir_all(&self.store));
    }
}

#[cfg(test)]
mod tests;
