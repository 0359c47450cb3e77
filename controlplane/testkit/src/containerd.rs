//! One containerd on this machine, for what talks to a container runtime without running a container: it is given no image and
//! starts nothing. Nodes with pods are VMs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::process::Process;
use crate::ready::eventually;

/// A running containerd with the CRI, whose files all lie in folders of its own.
#[derive(Debug)]
pub struct Containerd {
    process: Option<Process>,
    bench: Folders,
}

#[derive(Debug)]
struct Folders {
    log: PathBuf,
    program: PathBuf,
    /// Paths of sockets have to be short.
    own: TempDir,
}

/// Four times what it takes on two busy cores.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(90);

impl Containerd {
    /// Returns when plugins can register.
    pub async fn start(bench: &Bench) -> anyhow::Result<Containerd> {
        let log = bench.own_folder("containerd")?;
        let program = bench.programs().path("containerd")?;
        let own = TempDir::with_prefix("ctr-").context("make a folder for containerd")?;
        let bench = Folders { log, program, own };
        fs::write(bench.path("config.toml"), bench.configuration())
            .context("write containerd's configuration")?;
        let mut containerd = Containerd { process: None, bench };
        containerd.start_again().await?;
        Ok(containerd)
    }

    /// After `kill`: the same folders, a new process.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let config = format!("--config={}", self.bench.path("config.toml").display());
        // The one of a killed server is still there.
        let socket = self.nri_socket();
        if socket.exists() {
            fs::remove_file(&socket).with_context(|| format!("remove {}", socket.display()))?;
        }
        let process = Process::start(&self.bench.log, &self.bench.program, [config])?;
        let process = self.process.insert(process);
        eventually("containerd to listen for plugins", LIMIT, async || {
            if let Some(status) = process.ended()? {
                anyhow::bail!("containerd ended with {status}\n{}", process.end_of_log());
            }
            Ok(socket.exists().then_some(()))
        })
        .await
    }

    /// As a crash ends it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Where plugins of the Node Resource Interface connect.
    pub fn nri_socket(&self) -> PathBuf {
        self.bench.path("nri.sock")
    }

    /// What it has written so far.
    pub fn log(&self) -> anyhow::Result<String> {
        let path = self.bench.log.with_extension("log");
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }
}

impl Folders {
    fn path(&self, name: &str) -> PathBuf {
        self.own.path().join(name)
    }

    /// Nothing of it may lie where a containerd of this machine has its files.
    fn configuration(&self) -> String {
        let at = |name: &str| quoted(&self.path(name));
        format!(
            "version = 3\nroot = {}\nstate = {}\n\
             [grpc]\naddress = {}\n\
             [ttrpc]\naddress = {}\n\
             [plugins.'io.containerd.internal.v1.opt']\npath = {}\n\
             [plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_dir = {}\nbin_dirs = []\n\
             [plugins.'io.containerd.nri.v1.nri']\nsocket_path = {}\nplugin_path = {}\nplugin_config_path = {}\n\
             plugin_request_timeout = '2s'\n",
            at("root"),
            at("state"),
            at("containerd.sock"),
            at("ttrpc.sock"),
            at("opt"),
            at("cni"),
            at("nri.sock"),
            at("plugins"),
            at("plugins.d"),
        )
    }
}

fn quoted(path: &Path) -> String {
    format!("{path:?}")
}
