//! `berth-bench`: the guest's part of `cargo xtask bench suppression` and `footprint`. Owns the
//! command line; the runs are in `bench::suppression` and `bench::footprint`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bench::arrivals::Shape;
use bench::demo::agent::AgentSetup;
use bench::demo::stage::Load;
use bench::demo::tree;
use bench::load::report::write_json;
use bench::load::work;
use bench::{footprint, suppression};
use clap::{Parser, Subcommand};
use model::units::{Micros, Nanos};
use serde::Serialize;

#[derive(Debug, Parser)]
struct Cli {
    #[arg(long, default_value = "/sys/fs/cgroup")]
    root: PathBuf,
    /// Directory for NAME.json and the raw reports
    #[arg(long, default_value = "/out")]
    out: PathBuf,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// First long wait to last read-back, every CPU busy
    Suppression {
        /// Length of the run with hogs; a burst begins every 600 ms
        #[arg(long, default_value_t = 150)]
        seconds: u64,
        /// Length of the run in which Plans of a thousand Steps are written
        #[arg(long, default_value_t = 180)]
        plans_seconds: u64,
        /// Run-queue wait that counts as long
        #[arg(long, default_value_t = 1000)]
        target_us: u64,
    },
    /// Memory and CPU of the agent at 100 cgroups
    Footprint {
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
}

/// The release timer of the suppression bench: short, so that bursts can follow fast.
const HOLD: Nanos = Nanos::from_millis(200);
/// A hold spans two ticks, so a short hold needs a short tick.
const SHORT_TICK: Nanos = Nanos::from_millis(100);
/// A burst, then quiet until the suppression has long expired.
const BURST: Nanos = Nanos::from_millis(150);
const QUIET: Nanos = Nanos::from_millis(450);
/// 85 % of one CPU in requests of 3 ms, as in the demo; nothing in between.
const BURST_RATE_HZ: f64 = 283.3;
const QUIET_RATE_HZ: f64 = 0.01;

#[derive(Serialize)]
struct File<R: Serialize> {
    agent_like_rounds_per_s: u64,
    kernel: String,
    rows: R,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    std::fs::create_dir_all(&cli.out)?;
    match cli.bench {
        Bench::Suppression { seconds, plans_seconds, target_us } => {
            let settings = suppression::Settings {
                root: cli.root.clone(),
                out: cli.out.clone(),
                load: load(tree::n_cpus(&cli.root)?),
                agent: agent(&cli.root, Micros(target_us), SHORT_TICK),
                span: Nanos::from_secs(seconds),
                plans_span: Nanos::from_secs(plans_seconds),
            };
            write(&cli.out, "suppression", suppression::run(&settings)?)
        }
        Bench::Footprint { seconds } => {
            let agent = agent(&cli.root, Micros(5000), Nanos::from_secs(1));
            let span = Nanos::from_secs(seconds);
            write(&cli.out, "footprint", [footprint::run(&cli.root, &cli.out, &agent, span)?])
        }
    }
}

fn write(out: &Path, name: &str, rows: impl Serialize) -> Result<()> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    let agent_like_rounds_per_s = work::agent_like_rounds_per_s();
    let file = File { agent_like_rounds_per_s, kernel, rows };
    write_json(&out.join(format!("{name}.json")), &file)
}

fn load(n_cpus: usize) -> Load {
    Load {
        program: PathBuf::from("/usr/local/bin/berth-load"),
        shape: Shape {
            quiet: QUIET,
            burst: BURST,
            quiet_rate_hz: QUIET_RATE_HZ,
            burst_rate_hz: BURST_RATE_HZ,
        },
        seed: 1,
        n_workers: n_cpus,
        request: Nanos::from_millis(3),
        speed: work::calibrate(),
    }
}

fn agent(root: &Path, target: Micros, tick: Nanos) -> AgentSetup {
    AgentSetup {
        program: PathBuf::from("/usr/local/bin/berth-agent"),
        managed_cgroup: "/".to_owned(),
        root: root.to_owned(),
        runtime_dir: PathBuf::from("/run/berth"),
        tick,
        hold: HOLD,
        // the whole node of 2 CPUs: batch keeps every CPU busy while it is held down by cpu.idle
        floor_milli_cpu: 2000,
        reclaim_floor_cpus: 2,
        target,
        request_milli_cpu: 1000,
        // every burst is to be an event of its own, not the next minute of the last one
        max_doublings: 0,
        batch: "/pods/batch-*",
        more: Vec::new(),
        observes: false,
    }
}
