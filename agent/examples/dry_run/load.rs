//! The load: a hog on each CPU that never sleeps, and now and then beside each a thread that wants
//! the CPU for as long as a few time slices.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use collector::clock;
use model::Timestamp;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Beside a hog one of the two waits for a whole slice (3 to 4 ms) within it.
const BURST: Duration = Duration::from_millis(12);

/// From the start of a burst's threads to the end of the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// Hogs on every CPU until it is stopped.
pub(crate) struct Load {
    cpus: Vec<usize>,
    hogs: Vec<JoinHandle<Result<()>>>,
    stop: Arc<AtomicBool>,
    cpu_times_before: (f64, f64),
}

impl Load {
    pub(crate) fn start() -> Result<Load> {
        let cpus = own_cpus()?;
        let stop = Arc::new(AtomicBool::new(false));
        let hogs = cpus.iter().map(|cpu| hog(*cpu, Arc::clone(&stop))).collect();
        Ok(Load { cpus, hogs, stop, cpu_times_before: cpu_times()? })
    }

    /// One burst on every CPU.
    pub(crate) fn burst(&self) -> Result<Burst> {
        let from = clock::now();
        let threads: Vec<_> = self.cpus.iter().map(|cpu| busy(*cpu)).collect();
        for thread in threads {
            thread.join().ok().context("a burst panicked")??;
        }
        Ok(Burst { from, to: clock::now() })
    }

    /// Ends the hogs; the part of the machine's time that was used since the start.
    pub(crate) fn stop(self) -> Result<f64> {
        let (idle, all) = cpu_times()?;
        self.stop.store(true, Ordering::Relaxed);
        for hog in self.hogs {
            hog.join().ok().context("a hog panicked")??;
        }
        Ok(1.0 - (idle - self.cpu_times_before.0) / (all - self.cpu_times_before.1).max(1.0))
    }
}

fn hog(cpu: usize, stop: Arc<AtomicBool>) -> JoinHandle<Result<()>> {
    thread::spawn(move || {
        pin(cpu)?;
        while !stop.load(Ordering::Relaxed) {
            black_box((0..10_000u64).fold(0, u64::wrapping_add));
        }
        Ok(())
    })
}

fn busy(cpu: usize) -> JoinHandle<Result<()>> {
    thread::spawn(move || {
        pin(cpu)?;
        let began = Instant::now();
        while began.elapsed() < BURST {
            black_box((0..1000u64).fold(0, u64::wrapping_add));
        }
        Ok(())
    })
}

fn own_cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(None).context("read the own affinity")?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect())
}

fn pin(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).with_context(|| format!("stay on CPU {cpu}"))
}

/// Idle and all time of the machine so far, in clock ticks.
fn cpu_times() -> Result<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let times: Vec<f64> =
        line.split_ascii_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is in user already
    let idle = times.iter().skip(3).take(2).sum();
    Ok((idle, times.iter().take(8).sum()))
}
