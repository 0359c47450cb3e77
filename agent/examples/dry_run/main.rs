//! How fast the agent answers a burst on this machine when only the writes are left out: prints
//! rows as JSON. `dry_run [BURSTS]`
//!
//! Real: the BPF programs on this kernel's scheduler, the ring buffer, and the agent as `wire`
//! puts it together, with its threads, queues and priorities. Not real: the cgroups. Nothing of
//! the host's is made or written; the agent looks at a host root of links and plain files, in
//! observe mode, where a Step ends as a dry run. BPF knows the victim by the cgroup that this
//! program is in already, so whatever else waits in that cgroup is the victim too, a hog that one of
//! the agent's own threads displaces among them: a suppression is measured whoever waited.
#![expect(clippy::print_stdout, reason = "a command-line example")]

mod events;
mod host;
mod load;
mod victim;

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use agent::{config, wire};
use anyhow::{Context as _, Result, ensure};
use collector::clock;
use model::Nanos;
use tokio::sync::watch;

use events::{Event, Events};
use load::Load;

/// A kubelet's default is 110 pods; a third of them batch.
const N_BATCH_PODS: usize = 37;
/// The agent's shortest: a hold spans two ticks, so a short tick makes short holds.
const TICK_MS: u64 = 100;
const HOLD_MS: u64 = 200;
/// Run-queue wait from which the victim waits too long: shorter than the time slice that a burst
/// costs a hog, longer than a turn of the agent's own reading threads, which are in the same cgroup.
const TARGET_US: u64 = 2000;
/// Past the hold and the tick that ends it, so that each burst is an event of its own.
const BURST_EVERY: Duration = Duration::from_millis(500);
/// The agent's first Plan needs two readings.
const SETTLE: Duration = Duration::from_secs(1);
/// A tenth more than have to be seen, for those that fall into an event that is on already.
const N_BURSTS: usize = 220;

fn main() -> ExitCode {
    // The agent starts itself a second time as its watchdog.
    if std::env::args().nth(1).as_deref() == Some("watchdog") {
        return agent::cli::main();
    }
    match measure() {
        Ok(rows) => {
            println!("{rows}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "No measurement");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<String> {
    kit::init_tracing("warn")?;
    let n_bursts = std::env::args().nth(1).map_or(Ok(N_BURSTS), |text| text.parse())?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let root = folder.path().join("host");
    host::make(&root, N_BATCH_PODS)?;
    let file = folder.path().join("agent.toml");
    std::fs::write(&file, config_text(folder.path(), &root)).context("write the configuration")?;
    let config = config::load(&file)?;
    std::fs::create_dir_all(&config.agent.runtime_dir).context("make the runtime directory")?;
    let mut edges = wire::open_edges(&config)?;
    ensure!(edges.eyes.probe.works, "no BPF here: {}", edges.eyes.probe.text);
    edges.probe = victim::standing_in(edges.probe, &root.join("sys/fs/cgroup/pods/api"))?;
    let (stop, stopping) = watch::channel(false);
    let agent = wire::start(config, &file, edges, stopping)?;
    let rows = load_and_watch(n_bursts, Events::new(agent.state));
    stop.send_replace(true);
    agent.thread.join().map_err(|_panic| anyhow::anyhow!("the loop panicked"))??;
    rows
}

fn load_and_watch(n_bursts: usize, mut events: Events) -> Result<String> {
    thread::sleep(SETTLE);
    let load = Load::start()?;
    let loaded_from = clock::now();
    let mut bursts = Vec::new();
    for _ in 0..n_bursts {
        thread::sleep(BURST_EVERY);
        events.collect();
        bursts.push(load.burst()?);
    }
    thread::sleep(BURST_EVERY);
    events.collect();
    let node_cpu_util = load.stop()?;
    row(&events.since(loaded_from), events.n_of(&bursts), node_cpu_util)
}

fn config_text(folder: &Path, root: &Path) -> String {
    format!(
        r#"mode = "observe"

[host]
root = "{root}"

[agent]
runtime_dir = "{folder}/run"
listen = "off"
tick_ms = {TICK_MS}

[suppression]
hold_ms = {HOLD_MS}
max_doublings = 0

[[workload]]
cgroup = "/pods/api"
name = "api"
qos = "shared_cores"
target_p99_us = {TARGET_US}

[[workload]]
cgroup = "/pods/batch-*"
name = "batch"
qos = "reclaimed_cores"
"#,
        root = root.display(),
        folder = folder.display(),
    )
}

fn row(events: &[Event], n_of_bursts: usize, node_cpu_util: f64) -> Result<String> {
    let quantile = |per_cent: usize, of: fn(&Event) -> Nanos| {
        let mut sorted: Vec<u64> = events.iter().map(|event| of(event).0).collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
        let found = sorted.get(rank - 1).context("the agent measured no suppression")?;
        anyhow::Ok(*found as f64 / 1e6)
    };
    let latency = |event: &Event| event.latency;
    Ok(format!(
        "{{\"rows\":[\n  {{\"name\":\"first long wait to the last of {N_BATCH_PODS} dry-run Steps\",\
         \"events\":{},\"of_bursts\":{n_of_bursts},\"p50_ms\":{:.3},\"p99_ms\":{:.3},\
         \"max_ms\":{:.3},\"after_decision_p99_ms\":{:.3},\"node_cpu_util\":{node_cpu_util:.3}}}\n]}}",
        events.len(),
        quantile(50, latency)?,
        quantile(99, latency)?,
        quantile(100, latency)?,
        quantile(99, |event| event.after_decision)?,
    ))
}
