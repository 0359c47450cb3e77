//! Runs a crate's measuring example on this machine and reads the rows it prints.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cargo::cargo;
use crate::{ebpf, place};

#[derive(Deserialize)]
struct Output<T> {
    rows: Vec<T>,
}

/// The rows of `example` of `package`, which may load the BPF programs.
pub(super) fn rows<T: DeserializeOwned>(package: &str, example: &str) -> anyhow::Result<Vec<T>> {
    ebpf::ensure_built()?;
    let mut cargo = cargo(place::repo());
    cargo.args(["run", "--quiet", "--profile", "ci", "-p", package, "--example", example]);
    let output =
        cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("run cargo")?;
    ensure!(output.status.success(), "the example {example} ended with {}", output.status);
    let output: Output<T> = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the example {example} printed no rows"))?;
    Ok(output.rows)
}
