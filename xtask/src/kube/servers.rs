//! A control plane that lives as long as a value here, or until it is told to end. What it is made of is the affair of the crate
//! `testkit`; here is its process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::place;
use crate::setup::kubernetes::Kubernetes;

/// Running servers. They end with this value, and by themselves when xtask is killed: their standard input closes.
#[derive(Debug)]
pub(crate) struct Servers {
    child: Child,
    kubeconfig: PathBuf,
}

impl Servers {
    /// etcd and an apiserver for the tests of one run. Returns when the apiserver is ready.
    pub(crate) fn start(program: &Path, logs: &Path, programs: &OsStr) -> anyhow::Result<Servers> {
        let mut command = Command::new(program);
        command.args(["servers", "--folder"]).arg(logs.join("shared"));
        command.envs(environment(logs, programs));
        command.stdin(Stdio::piped());
        let (child, kubeconfig) = until_ready(command, |_| Ok(()))?;
        Ok(Servers { child, kubeconfig })
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Its end is its own affair; there is nothing to do about an error here.
        drop(self.child.wait());
    }
}

/// Starts `command`, which runs on, and reads where the kubeconfig of its apiserver lies. `spawned` is told its pid before that.
pub(super) fn until_ready(
    mut command: Command,
    spawned: impl FnOnce(u32) -> anyhow::Result<()>,
) -> anyhow::Result<(Child, PathBuf)> {
    command.stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("run {command:?}"))?;
    spawned(child.id())?;
    let stdout = child.stdout.take().expect("invariant: stdout was asked for as a pipe");
    match kubeconfig_in(BufReader::new(stdout).lines()) {
        Ok(kubeconfig) => Ok((child, kubeconfig)),
        Err(error) => {
            let status = child.wait().context("wait for the servers")?;
            Err(error.context(format!("the servers ended with {status}")))
        }
    }
}

/// What the test kit wants to know: where the programs lie and where logs go.
pub(crate) fn environment<'a>(
    logs: &'a Path,
    programs: &'a OsStr,
) -> [(&'static str, &'a OsStr); 2] {
    [("BERTH_KUBE_PROGRAMS", programs), ("BERTH_E2E_LOGS", logs.as_os_str())]
}

/// The folders with the programs, as the test kit takes them.
pub(crate) fn programs(kubernetes: &Kubernetes) -> anyhow::Result<OsString> {
    env::join_paths(super::folders(kubernetes)?).context("a cache folder's name contains `:`")
}

/// An empty folder for the logs of one run.
pub(crate) fn logs() -> anyhow::Result<PathBuf> {
    let logs = place::target().join("e2e-logs");
    if logs.exists() {
        fs::remove_dir_all(&logs).with_context(|| format!("empty {}", logs.display()))?;
    }
    Ok(logs)
}

/// Prints the figures on the way; the kubeconfig is the last line before silence.
fn kubeconfig_in(lines: impl Iterator<Item = std::io::Result<String>>) -> anyhow::Result<PathBuf> {
    for line in lines {
        let line = line.context("read what the servers say")?;
        if let Some(path) = line.strip_prefix("kubeconfig ") {
            return Ok(PathBuf::from(path));
        }
        println!("{line}");
    }
    bail!("they named no kubeconfig")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::kubeconfig_in;

    #[test]
    fn servers_that_name_no_kubeconfig_are_an_error() {
        let read = |lines: &[&str]| kubeconfig_in(lines.iter().map(|line| Ok((*line).to_owned())));
        read(&[]).unwrap_err();
        read(&["etcd 40 MiB"]).unwrap_err();
        let named = read(&["etcd 40 MiB", "kubeconfig /t/admin.kubeconfig"]).unwrap();
        assert_eq!(named, Path::new("/t/admin.kubeconfig"));
    }
}
