//! `berth-demo`: runs the phases of the demo on the machine it stands on and writes `demo.json`.
//! Owns the command line; the phases are in `bench::demo`.

#![expect(clippy::print_stdout, reason = "one line per phase for the person who waits")]

use std::path::PathBuf;

use anyhow::Result;
use bench::demo::agent::AgentSetup;
use bench::demo::driver::{self, Settings};
use bench::demo::phase::Phase;
use bench::demo::stage::Load;
use bench::demo::tree;
use bench::load::work;
use clap::Parser;
use model::units::{Micros, Nanos};

/// Runs one service beside batch pods under several managers
#[derive(Debug, Parser)]
struct Cli {
    /// A cgroup v2 directory this process may fill
    #[arg(long, default_value = "/sys/fs/cgroup")]
    root: PathBuf,
    /// Directory for demo.json and the raw reports
    #[arg(long, default_value = "/out")]
    out: PathBuf,
    /// The agent's program
    #[arg(long, default_value = "/usr/local/bin/berth-agent")]
    agent: PathBuf,
    /// `managed_cgroup` of the agent: `--root` as seen from the cgroup mount
    #[arg(long, default_value = "/")]
    managed_cgroup: String,
    /// Directory for the agent's socket, lock and decision log
    #[arg(long, default_value = "/run/berth")]
    runtime_dir: PathBuf,
    /// `suppression.hold_ms` of the agent
    #[arg(long, default_value_t = 2000)]
    hold_ms: u64,
    /// `suppression.floor_milli_cpu` of the agent; this one and the next two are README's
    #[arg(long, default_value_t = 100)]
    floor_milli_cpu: u64,
    /// `reclaim.floor_cpus` of the agent
    #[arg(long, default_value_t = 1)]
    reclaim_floor_cpus: usize,
    /// `target_p99_us` of the service: the run-queue wait it should stay under
    #[arg(long, default_value_t = 1000)]
    target_us: u64,
    /// `request_milli_cpu` of the service: its peak and half as much again when left out, as
    /// operators ask for
    #[arg(long)]
    request_milli_cpu: Option<u64>,
    /// The load program
    #[arg(long, default_value = "/usr/local/bin/berth-load")]
    load: PathBuf,
    #[arg(long, value_delimiter = ',', value_parser = phase, default_value = ALL_PHASES)]
    phases: Vec<Phase>,
    /// How often all phases are run, each time with other arrivals
    #[arg(long, default_value_t = 2)]
    rounds: u64,
    /// Quiet and burst periods per phase and round
    #[arg(long, default_value_t = 2)]
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
    let peak_milli_cpu = (n_cpus as f64 * 500.0 * cli.share_pct / 100.0) as u64;
    let agent = AgentSetup {
        program: cli.agent,
        managed_cgroup: cli.managed_cgroup,
        root: cli.root.clone(),
        runtime_dir: cli.runtime_dir,
        tick: Nanos::from_secs(1),
        hold: Nanos::from_millis(cli.hold_ms),
        floor_milli_cpu: cli.floor_milli_cpu,
        reclaim_floor_cpus: cli.reclaim_floor_cpus,
        target: Micros(cli.target_us),
        request_milli_cpu: cli.request_milli_cpu.unwrap_or(peak_milli_cpu * 3 / 2),
        max_doublings: 4,
        batch: "/batch",
        more: Vec::new(),
        observes: false,
    };
    Ok(Settings {
        agent,
        root: cli.root,
        out: cli.out,
        load,
        phases: cli.phases,
        n_rounds: cli.rounds,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Who follows README gets what the demo shows.
    #[test]
    fn the_settings_are_those_of_readme() {
        let readme = include_str!("../../../README.md");
        let demo = Cli::parse_from(["berth-demo"]);
        for (key, value) in [
            ("floor_milli_cpu", demo.floor_milli_cpu),
            ("floor_cpus", demo.reclaim_floor_cpus as u64),
            ("hold_ms", demo.hold_ms),
            ("target_p99_us", demo.target_us),
        ] {
            let line = format!("{key} = {value} ");
            assert!(readme.lines().any(|it| it.starts_with(&line)), "README does not say {line}");
        }
    }
}
