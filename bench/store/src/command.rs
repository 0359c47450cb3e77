//! The command line of the generator: which servers, which scenarios, how often. Writes the rows of all runs as JSON.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde_json::json;

use crate::entry::{Entry, Row};
use crate::scenario::{self, Ground, Scenario};
use crate::server::Launch;
use crate::sizes::Sizes;

#[derive(Debug, Parser)]
#[command(name = "berth-store-bench", about = "Put load on servers of etcd's protocol, in turns")]
pub struct Command {
    /// One of them: etcd=PROGRAM, kine=PROGRAM or berth=PROGRAM; again for each
    #[arg(long, required = true, value_name = "KIND=PROGRAM")]
    server: Vec<Launch>,
    /// Where the stores and the logs of the servers go: on the disk that is measured
    #[arg(long)]
    folder: PathBuf,
    /// The rows, as JSON
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How often every server is measured; kine once, and only writing: a hundred thousand objects take it an hour
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Length of each timed stretch
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Everything small: shows that it works, measures nothing
    #[arg(long)]
    quick: bool,
    /// Only these
    #[arg(long, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Pin servers to these CPUs, as taskset takes them
    #[arg(long, value_name = "LIST")]
    server_cpus: Option<String>,
    /// Threads that send; on a core of its own one is best
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

pub fn run(command: &Command) -> anyhow::Result<()> {
    fs::create_dir_all(&command.folder)
        .with_context(|| format!("create {}", command.folder.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(command.threads)
        .enable_all()
        .build()
        .context("start the runtime")?;
    // Servers are tied to the thread that starts them, which is this one.
    runtime.block_on(measure(command))
}

async fn measure(command: &Command) -> anyhow::Result<()> {
    let sizes = match command.quick {
        true => Sizes::quick(),
        false => Sizes::full(Duration::from_secs(command.seconds.max(1))),
    };
    let folder = command.folder.as_path();
    let ground = Ground { folder, cpus: command.server_cpus.as_deref(), sizes: &sizes };
    let usual = Scenario::USUAL.to_vec();
    let scenarios = if command.only.is_empty() { &usual } else { &command.only };
    let mut rows = Vec::new();
    for run in 1..=command.runs {
        for scenario in scenarios {
            let is_due = |launch: &&Launch| launch.is_due(run, *scenario);
            for launch in turns(&command.server, run).filter(is_due) {
                let mut entries = Vec::new();
                if let Err(error) = scenario::run(*scenario, launch, ground, &mut entries).await {
                    entries.push(Entry::skipped(scenario.name(), format!("failed: {error:#}")));
                }
                let found = entries.into_iter().map(|entry| entry.of(launch.name(), run));
                found.for_each(|row| rows.push(told(row)));
                write(command, &rows)?;
            }
        }
    }
    Ok(())
}

/// Every server is first, last and between in turn, so that a machine that grows slower or faster favours none.
fn turns<T>(servers: &[T], run: u32) -> impl Iterator<Item = &T> {
    let first = (run.max(1) - 1) as usize % servers.len().max(1);
    servers[first..].iter().chain(&servers[..first])
}

#[expect(clippy::print_stdout, reason = "progress of a run of an hour")]
fn told(row: Row) -> Row {
    let Row { workload, server, run, figures, skipped } = &row;
    let chief = [
        "txns_per_s",
        "list_p50_ms",
        "range_p50_ms",
        "delivered_ratio",
        "during_p99_ms",
        "p50_ms",
        "p99_ms",
    ];
    let chief =
        chief.into_iter().filter_map(|name| Some(format!("{name} {:.2}", figures.get(name)?)));
    let chief = chief.collect::<Vec<_>>().join(", ");
    println!(
        "run {run} {server:<6} {workload:<18} {chief}{}",
        skipped.as_deref().unwrap_or_default()
    );
    row
}

/// After every scenario, so that what was measured is not lost with what fails.
fn write(command: &Command, rows: &[Row]) -> anyhow::Result<()> {
    let facts = json!({ "quick": command.quick, "seconds": command.seconds, "runs": command.runs,
        "server_cpus": command.server_cpus, "threads": command.threads });
    let text = serde_json::to_string_pretty(&json!({ "settings": facts, "rows": rows }));
    let text = text.context("encode the rows")?;
    fs::write(&command.out, text + "\n").with_context(|| format!("write {}", command.out.display()))
}

#[cfg(test)]
mod tests {
    use super::turns;

    #[test]
    fn every_server_is_first_once() {
        let order = |run| turns(&["a", "b", "c"], run).copied().collect::<String>();
        assert_eq!([1, 2, 3, 4].map(order), ["abc", "bca", "cab", "abc"]);
        assert_eq!(turns(&["a"], 7).count(), 1);
    }
}
