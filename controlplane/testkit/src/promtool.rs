//! Prometheus' own tool for rules, which needs no server.

use std::process::{Command, Stdio};

use crate::programs::Programs;

/// promtool, without arguments yet.
pub fn promtool() -> anyhow::Result<Command> {
    let mut command = Command::new(Programs::find()?.path("promtool")?);
    command.stdin(Stdio::null());
    Ok(command)
}
