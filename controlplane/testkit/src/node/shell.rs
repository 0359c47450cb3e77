//! Commands in a node, over ssh: streams, exit code and terminal come as everybody knows them. Works while kubelet, containerd
//! and apiserver do not.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::programs::Programs;

/// A way into one node. Cheap to clone; needs no running task.
#[derive(Clone, Debug)]
pub struct Shell {
    client: PathBuf,
    libraries: PathBuf,
    image: PathBuf,
    host: String,
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A command in an emulated machine takes a second or two.
const LIMIT: Duration = Duration::from_secs(180);

impl Shell {
    /// Into a node that somebody else has started. Whether there is one shows when a command is run.
    pub fn of_node(name: &str) -> anyhow::Result<Shell> {
        let programs = Programs::find()?;
        let image = programs.folder_with("vmlinuz")?.to_owned();
        Shell::new(&programs, &image, name)
    }

    pub(super) fn new(programs: &Programs, image: &Path, host: &str) -> anyhow::Result<Shell> {
        let packages = programs.folder_with("usr/bin/dbclient")?;
        Ok(Shell {
            client: packages.join("usr/bin/dbclient"),
            libraries: packages.join("usr/lib/x86_64-linux-gnu"),
            image: image.to_owned(),
            host: host.to_owned(),
        })
    }

    /// Runs a line of shell in the node and waits for its end.
    pub async fn run(&self, line: &str) -> anyhow::Result<Output> {
        let mut command = Command::from(self.command(line, false));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(LIMIT, command.output())
            .await
            .with_context(|| format!("{line:?} did not end within {LIMIT:?} on {}", self.host))?
            .with_context(|| format!("run {}", self.client.display()))?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The command that runs a line of shell in the node, for a caller with streams of its own.
    pub fn command(&self, line: &str, terminal: bool) -> std::process::Command {
        let mut command = std::process::Command::new(&self.client);
        // The image is the client's home: the node's key is among its known hosts.
        command.env("LD_LIBRARY_PATH", &self.libraries).env("HOME", &self.image);
        // -y: without it a key that is not known is asked about, and nobody may be there to answer.
        command.args(["-y", "-i"]).arg(self.image.join("ssh_key")).args(terminal.then_some("-t"));
        command.arg(format!("root@{}", self.host)).arg(line);
        command
    }
}

impl Output {
    /// Standard output of a command that succeeded.
    pub fn success(self) -> anyhow::Result<String> {
        if self.code != Some(0) {
            bail!("ended with {:?}\n{}{}", self.code, self.stdout, self.stderr);
        }
        Ok(self.stdout)
    }
}
