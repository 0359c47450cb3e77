//! Makes load in the guest: joins a cgroup, takes its CPUs, says `ready` and works until it is killed.
//! One program for all loads of the tests, so that their shape is stated on its command line.

use std::fs;
use std::hint::black_box;
use std::io::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::{Parser, Subcommand};
use model::CpuSet;
use rustix::thread::sched_setaffinity;
use rustix::time::{ClockId, clock_gettime};

#[derive(Debug, Parser)]
struct Args {
    /// Cgroup to join before anything else
    #[arg(long)]
    cgroup: PathBuf,
    /// CPUs to stay on, in the kernel's list format
    #[arg(long)]
    cpus: Option<String>,
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    Spin {
        #[arg(long)]
        threads: u32,
    },
    Periodic {
        #[arg(long)]
        period_us: u64,
        #[arg(long)]
        work_us: u64,
    },
    Hold {
        #[arg(long)]
        mebibytes: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let procs = args.cgroup.join("cgroup.procs");
    fs::write(&procs, "0").with_context(|| format!("join {}", procs.display()))?;
    // The scheduler tells of a change of cgroup at the next switch only, and a load that happens to
    // be alone on the CPU it stays on may not be switched out for seconds.
    thread::sleep(Duration::from_millis(1));
    if let Some(cpus) = &args.cpus {
        stay_on(cpus)?;
    }
    match args.kind {
        Kind::Spin { threads } => {
            for _ in 1..threads {
                thread::spawn(spin);
            }
            say_ready()?;
            spin()
        }
        Kind::Periodic { period_us, work_us } => {
            say_ready()?;
            work_and_sleep(Duration::from_micros(period_us), Duration::from_micros(work_us))
        }
        Kind::Hold { mebibytes } => {
            // Not zero: a zero page would not be charged.
            let held = vec![1_u8; mebibytes << 20];
            say_ready()?;
            loop {
                thread::sleep(Duration::from_secs(3600));
                black_box(&held);
            }
        }
    }
}

fn stay_on(list: &str) -> anyhow::Result<()> {
    let cpus: CpuSet = list.parse().map_err(|error| anyhow!("--cpus {list}: {error}"))?;
    let mut mask = rustix::thread::CpuSet::new();
    for cpu in cpus.iter() {
        mask.set(usize::from(cpu.0));
    }
    sched_setaffinity(None, &mask).with_context(|| format!("stay on CPUs {list}"))
}

fn say_ready() -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready").and_then(|()| stdout.flush()).context("say ready")
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Periods are counted from the start, so a late one is followed at once by the next (an open loop).
fn work_and_sleep(period: Duration, work: Duration) -> ! {
    let mut next = Instant::now();
    loop {
        let until = on_cpu() + work;
        while on_cpu() < until {
            black_box(0_u64);
        }
        next += period;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// CPU time of this thread: a request costs the same however long it waited.
fn on_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
