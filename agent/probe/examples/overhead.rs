//! What the probe costs: the kernel's own statistics per program, and a paired run of a pipe
//! ping-pong on one CPU (two context switches a round) with and without it, alternating. Prints
//! rows as JSON. Read-only tracing; every task of the host's root cgroup is tracked, which is the
//! dearest case. `overhead [ROUNDS] [SECONDS]`
#![expect(clippy::print_stdout, reason = "a command-line example")]

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use model::{CgroupId, Nanos, SlotId, Timestamp};
use probe::{DEFAULT_MAP_BUDGET, LoadOptions, ProbeSource as _, ReadPlan, SchedProbe};

/// cgroup v2's root directory has this id on every host.
const ROOT_CGROUP: CgroupId = CgroupId(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let rounds: usize = args.next().map_or(Ok(5), |text| text.parse())?;
    let seconds: f64 = args.next().map_or(Ok(1.0), |text| text.parse())?;
    let span = Duration::from_secs_f64(seconds.min(10.0));
    let plan = probe::read_plan(&probe::probe_host(Path::new("/")), DEFAULT_MAP_BUDGET);
    let (mut without, mut with, mut per_switch) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = Vec::new();
    ping_pong(span / 4)?;
    for round in 0..rounds {
        without.push(ping_pong(span)?);
        let probe = tracking(&plan)?;
        with.push(ping_pong(span)?);
        drop(probe);
        let probe = tracking(&plan)?;
        let (cost, programs) = counted(&probe, span)?;
        per_switch.push(cost);
        if round + 1 == rounds {
            rows.extend(programs);
        }
    }
    let switches = without.iter().map(|run| run.switches).sum();
    let added = with.iter().zip(&without).map(|(with, without)| with.ns - without.ns).collect();
    rows.push(row("switch_without_probe", without.iter().map(|run| run.ns).collect(), switches));
    let switches = with.iter().map(|run| run.switches).sum();
    rows.push(row("switch_with_probe", with.iter().map(|run| run.ns).collect(), switches));
    rows.push(row("added_per_switch_paired", added, switches));
    rows.push(row("bpf_ns_per_switch", per_switch, switches));
    rows.push(row("read_300_slots", read_times(&plan)?, 300));
    println!("{{\"rows\":[\n  {}\n]}}", rows.join(",\n  "));
    Ok(())
}

fn tracking(plan: &ReadPlan) -> Result<SchedProbe, Box<dyn Error>> {
    let mut probe = probe::load(Path::new("/"), plan, LoadOptions::default())?;
    probe.track(SlotId(1), &[ROOT_CGROUP])?;
    // Watched as a latency-critical pod is, at a threshold that nothing here passes.
    probe.set_threshold(SlotId(1), Nanos::from_secs(5))?;
    Ok(probe)
}

/// All programs' run time over the scheduler's switches while they ran, and a row per program.
fn counted(probe: &SchedProbe, span: Duration) -> Result<(f64, Vec<String>), Box<dyn Error>> {
    let statistics = probe::enable_stats()?;
    ping_pong(span)?;
    drop(statistics);
    let stats: Vec<_> = probe.run_stats().into_iter().filter(|stats| stats.run_cnt > 0).collect();
    let total: u64 = stats.iter().map(|stats| stats.run_time.0).sum();
    let switches = stats.iter().find(|stats| stats.name.ends_with("_switch"));
    let switches = switches.ok_or("sched_switch never ran")?.run_cnt;
    let rows = stats.iter().map(|stats| {
        let per_run = stats.run_time.0 as f64 / stats.run_cnt as f64;
        row(&format!("run_{}", stats.name), vec![per_run], stats.run_cnt)
    });
    Ok((total as f64 / switches as f64, rows.collect()))
}

/// Draining the maps of a full node, which the agent does once a second.
fn read_times(plan: &ReadPlan) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut probe = probe::load(Path::new("/"), plan, LoadOptions::default())?;
    for slot in 1..=300_u16 {
        probe.track(SlotId(slot), &[CgroupId(1 << 40 | u64::from(slot))])?;
    }
    let timed = (0..20).map(|_| {
        let began = Instant::now();
        probe.read(Timestamp(0))?;
        Ok(began.elapsed().as_nanos() as f64)
    });
    timed.collect()
}

struct Run {
    /// CPU time of both threads per context switch, so that other load on the machine does not
    /// count as the probe's.
    ns: f64,
    switches: u64,
}

/// Two threads on one CPU hand a byte to and fro.
fn ping_pong(span: Duration) -> Result<Run, Box<dyn Error>> {
    let (mut ping_out, mut ping_in) = std::io::pipe()?;
    let (mut pong_out, mut pong_in) = std::io::pipe()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let echo = thread::spawn(move || -> std::io::Result<Duration> {
        pin()?;
        let mut byte = [0];
        while !stopped.load(Ordering::Relaxed) {
            // Either end may go first when the time is up.
            if ping_out.read_exact(&mut byte).and_then(|()| pong_in.write_all(&byte)).is_err() {
                break;
            }
        }
        Ok(own_cpu_time())
    });
    let caller = thread::spawn(move || -> std::io::Result<(Duration, u64)> {
        pin()?;
        let (mut byte, mut n_rounds) = ([0], 0_u64);
        let began = Instant::now();
        while began.elapsed() < span {
            ping_in.write_all(&byte)?;
            pong_out.read_exact(&mut byte)?;
            n_rounds += 1;
        }
        stop.store(true, Ordering::Relaxed);
        // The echo may have seen `stop` first and closed its end.
        drop(ping_in.write_all(&byte));
        Ok((own_cpu_time(), 2 * n_rounds))
    });
    let (called, switches) = caller.join().map_err(|_panic| "the calling thread panicked")??;
    let echoed = echo.join().map_err(|_panic| "the echoing thread panicked")??;
    Ok(Run { ns: (called + echoed).as_nanos() as f64 / switches as f64, switches })
}

fn own_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn pin() -> std::io::Result<()> {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(0);
    Ok(rustix::thread::sched_setaffinity(None, &cpus)?)
}

fn row(name: &str, mut ns: Vec<f64>, events: u64) -> String {
    ns.sort_by(f64::total_cmp);
    let median = ns[ns.len() / 2];
    format!("{{\"name\":\"{name}\",\"median_ns\":{median:.1},\"events\":{events}}}")
}
