//! Runs other programs for the xtask: quietly, with their output shown only when they fail.

use std::process::Command;

use anyhow::{Context as _, bail};

/// Runs to the end; the error carries the command line and what it printed.
pub(crate) fn quiet(command: &mut Command) -> anyhow::Result<()> {
    output(command).map(drop)
}

/// Standard output of a program that must succeed.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let result = command.output().with_context(|| format!("run {command:?}"))?;
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    if !result.status.success() {
        let complaint = String::from_utf8_lossy(&result.stderr);
        bail!("{command:?} ended with {}\n{}{}", result.status, text, complaint);
    }
    Ok(text)
}
