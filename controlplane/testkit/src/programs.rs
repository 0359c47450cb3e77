//! Where the programs lie that `cargo xtask setup --group control-plane` has built, and those of this workspace. Builds nothing itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

/// Folders with programs, separated like those of PATH; `cargo xtask test` sets it.
const FOLDERS: &str = "BERTH_KUBE_PROGRAMS";

#[derive(Debug)]
pub(crate) struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// From the environment; a test that is run alone asks xtask, which also builds what is missing.
    pub(crate) fn find() -> anyhow::Result<Programs> {
        let folders = match env::var_os(FOLDERS) {
            Some(list) => env::split_paths(&list).collect(),
            None => ask_xtask()?,
        };
        Ok(Programs { folders })
    }

    pub(crate) fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.folder_with(name).map(|folder| folder.join(name))
    }

    /// The folder that holds `name`, for what belongs together.
    pub(crate) fn folder_with(&self, name: &str) -> anyhow::Result<&Path> {
        let Some(folder) = self.folders.iter().find(|folder| folder.join(name).is_file()) else {
            bail!("no {name} in {:?}; `cargo xtask setup --group kube` brings it", self.folders)
        };
        Ok(folder)
    }
}

/// A program of this workspace: beside the one that runs, or above it where that is a test.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("ask for the path of this program")?;
    let mut programs = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    programs.find(|program| program.is_file()).with_context(|| {
        let command = "cargo build --profile ci -p agent -p cli -p control";
        format!("no {name} beside {}; `{command}` makes it", own.display())
    })
}

fn ask_xtask() -> anyhow::Result<Vec<PathBuf>> {
    let mut ask = Command::new("cargo");
    ask.args(["xtask", "kube", "programs"]);
    let output = ask
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("run {ask:?}"))?;
    ensure!(output.status.success(), "{ask:?} ended with {}", output.status);
    let text = String::from_utf8(output.stdout).context("a folder's name is not UTF-8")?;
    Ok(text.lines().map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::Programs;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_brings_it() {
        let programs = Programs { folders: vec![PathBuf::from("/nowhere")] };
        let said = programs.path("etcd").unwrap_err().to_string();
        for part in ["etcd", "/nowhere", "cargo xtask setup --group kube"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
