//! What is done with a store besides serving it: copies, moves and a look inside. Owns which task there is and its exit code.

mod backup;
mod client;
mod export;
mod follow;
mod import;
mod new_store;
mod progress;
mod restore;
mod stats;

use std::process::ExitCode;

use tracing::error;

use super::{BAD_USAGE, UNAVAILABLE};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Task {
    /// Copy a store that runs, ours or an etcd, into one file: a snapshot in etcd's own format
    Backup(backup::Args),
    /// Make a store of a snapshot file, or of an older state of a store's own log
    Restore(restore::Args),
    /// Take over an etcd while it runs, with its revisions, until clients change over
    Import(import::Args),
    /// Keep an etcd's keys the same as a store's
    Export(export::Args),
    /// Show what fills a store, what is written and who watches
    Stats(stats::Args),
}

pub(super) fn run(task: &Task) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "Threads cannot be started");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    let done = runtime.block_on(async {
        match task {
            Task::Backup(args) => backup::run(args).await,
            Task::Restore(args) => restore::run(args),
            Task::Import(args) => import::run(args).await,
            Task::Export(args) => export::run(args).await,
            Task::Stats(args) => stats::run(args).await,
        }
    });
    // Nobody waits for a connection that is being closed.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            let is_usage = error.is::<Usage>();
            ExitCode::from(if is_usage { BAD_USAGE } else { UNAVAILABLE })
        }
    }
}

/// What was asked for cannot be.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn usage<T>(why: impl Into<String>) -> anyhow::Result<T> {
    Err(Usage(why.into()).into())
}

/// A line for whoever has started the task.
fn say(line: &str) {
    use std::io::Write as _;
    // Who does not listen misses nothing that the exit code does not say.
    let _ = writeln!(std::io::stdout(), "{line}");
}
