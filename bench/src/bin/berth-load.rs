//! `berth-load`: the load programs of the demo. Owns the command line; the loads are in
//! `bench::load`.

#![expect(clippy::print_stdout, reason = "`calibrate` answers on standard output")]

use std::path::PathBuf;

use anyhow::Result;
use bench::arrivals::Shape;
use bench::load::work::{Speed, agent_like_rounds_per_s, calibrate};
use bench::load::{hog, report, service};
use bench::{cgroup, clock};
use clap::{Args, Parser, Subcommand};
use model::units::{Nanos, Timestamp};

/// Bounded loads: a latency-critical service, a batch hog, a calibration loop
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open-loop service with quiet and burst periods
    Service(ServiceArgs),
    /// CPU-bound batch work that counts operations
    Hog(HogArgs),
    /// Print the speed of an undisturbed CPU as JSON: integer loop iterations per millisecond, and
    /// rounds per second of work like the agent's
    Calibrate,
}

#[derive(Debug, Args)]
struct Placement {
    /// The load ends by itself after this long
    #[arg(long)]
    seconds: f64,
    /// Result of `calibrate`
    #[arg(long)]
    iterations_per_ms: u64,
    /// Directory of the cgroup to join before anything else
    #[arg(long)]
    cgroup: Option<PathBuf>,
    /// JSON report
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct ServiceArgs {
    #[command(flatten)]
    placement: Placement,
    #[arg(long, default_value_t = 4.0)]
    quiet_seconds: f64,
    #[arg(long, default_value_t = 4.0)]
    burst_seconds: f64,
    /// Requests per second in quiet periods
    #[arg(long, default_value_t = 20.0)]
    quiet_rate: f64,
    /// Requests per second in burst periods
    #[arg(long)]
    burst_rate: f64,
    /// CPU time of one request
    #[arg(long, default_value_t = 3.0)]
    request_ms: f64,
    #[arg(long, default_value_t = 4)]
    workers: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// CLOCK_MONOTONIC nanoseconds at which the schedule begins; now when left out
    #[arg(long)]
    start_at_ns: Option<u64>,
}

#[derive(Debug, Args)]
struct HogArgs {
    #[command(flatten)]
    placement: Placement,
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Service(args) => run_service(&args),
        Command::Hog(args) => run_hog(&args),
        Command::Calibrate => {
            let speed = calibrate().iterations_per_ms;
            let rounds = agent_like_rounds_per_s();
            println!("{{\"iterations_per_ms\":{speed},\"agent_like_rounds_per_s\":{rounds}}}");
            Ok(())
        }
    }
}

fn run_service(args: &ServiceArgs) -> Result<()> {
    let placement = &args.placement;
    join(placement)?;
    let report = service::run(&service::Service {
        shape: Shape {
            quiet: seconds(args.quiet_seconds),
            burst: seconds(args.burst_seconds),
            quiet_rate_hz: args.quiet_rate,
            burst_rate_hz: args.burst_rate,
        },
        span: seconds(placement.seconds),
        seed: args.seed,
        n_workers: args.workers,
        request: seconds(args.request_ms / 1000.0),
        speed: Speed { iterations_per_ms: placement.iterations_per_ms },
        start_at: args.start_at_ns.map_or_else(clock::now, Timestamp),
    });
    report::write_json(&placement.out, &report)
}

fn run_hog(args: &HogArgs) -> Result<()> {
    let placement = &args.placement;
    join(placement)?;
    let speed = Speed { iterations_per_ms: placement.iterations_per_ms };
    let report = hog::run(args.threads, seconds(placement.seconds), speed);
    report::write_json(&placement.out, &report)
}

fn join(placement: &Placement) -> Result<()> {
    match &placement.cgroup {
        Some(dir) => cgroup::join(dir),
        None => Ok(()),
    }
}

fn seconds(seconds: f64) -> Nanos {
    Nanos((seconds.max(0.0) * 1e9) as u64)
}
