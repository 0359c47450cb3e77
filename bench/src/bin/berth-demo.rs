//! `berth-demo`: runs the phases of the demo on the machine it stands on and writes `demo.json`.
//! Owns the command line; the phases are in `bench::demo`.

#![expect(clippy::print_stdout, reason = "one line per phase for the person who waits")]

use std::path::PathBuf;

use anyhow::Result;
use bench::demo::driver::{self, Settings};
use bench::demo::phase::Phase;
use bench::demo::stage::Load;
use bench::demo::tree;
use bench::load::work;
use clap::Parser;
use model::units::Nanos;

/// Runs one service beside batch pods under several managers
#[derive(Debug, Parser)]
struct Cli {
    /// A cgroup v2 directory this process may fill
    #[arg(long, default_value = "/sys/fs/cgroup")]
    root: PathBuf,
    /// Directory for demo.json and the raw reports
    #[arg(long, default_value = "/out")]
    out: PathBuf,
    /// The load program
    #[arg(long, default_value = "/bin/berth-load")]
    load: PathBuf,
    #[arg(long, value_delimiter = ',', value_parser = phase, default_value = ALL_PHASES)]
    phases: Vec<Phase>,
    /// Quiet and burst periods per phase
    #[arg(long, default_value_t = 3)]
    cycles: u64,
    /// The same for each candidate of the sweep for the best fixed split
    #[arg(long, default_value_t = 1)]
    sweep_cycles: u64,
    #[arg(long, default_value_t = 3.0)]
    quiet_seconds: f64,
    #[arg(long, default_value_t = 3.0)]
    burst_seconds: f64,
    /// Service load in bursts, in percent of half the node
    #[arg(long, default_value_t = 85.0)]
    share_pct: f64,
    /// Threads of the service per CPU
    #[arg(long, default_value_t = 1)]
    workers_per_cpu: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const ALL_PHASES: &str = "alone,unmanaged,k8s,rule65,static,berth";
/// CPU time of a request on an undisturbed CPU.
const REQUEST: Nanos = Nanos::from_millis(3);

fn main() -> Result<()> {
    let cli = Cli::parse();
    std::fs::create_dir_all(&cli.out)?;
    let speed = work::calibrate();
    println!("calibrated: {} iterations per ms", speed.iterations_per_ms);
    driver::run(&settings(cli, speed)?, &mut |line| println!("{line}"))?;
    Ok(())
}

fn settings(cli: Cli, speed: work::Speed) -> Result<Settings> {
    let n_cpus = tree::n_cpus(&cli.root)?;
    let (quiet, burst) = (seconds(cli.quiet_seconds), seconds(cli.burst_seconds));
    let load = Load {
        program: cli.load,
        shape: driver::shape(n_cpus, cli.share_pct, REQUEST, quiet, burst),
        seed: cli.seed,
        n_workers: n_cpus * cli.workers_per_cpu,
        request: REQUEST,
        speed,
    };
    Ok(Settings {
        root: cli.root,
        out: cli.out,
        load,
        phases: cli.phases,
        n_cycles: cli.cycles,
        n_sweep_cycles: cli.sweep_cycles,
    })
}

fn phase(name: &str) -> Result<Phase, String> {
    Phase::from_name(name).ok_or_else(|| format!("the phases are {ALL_PHASES}"))
}

fn seconds(seconds: f64) -> Nanos {
    Nanos((seconds.max(0.0) * 1e9) as u64)
}
