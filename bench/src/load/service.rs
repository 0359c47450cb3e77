//! The latency-critical service: open-loop arrivals, each a fixed amount of CPU work on one of a
//! few worker threads. Latency counts from the scheduled arrival, so a late worker makes every
//! request behind it late too (no coordinated omission).
//!
//! There is no dispatcher thread: each worker takes the next request of the schedule, sleeps
//! until it arrives and does it, which keeps first-come-first-served order and adds no hand-over.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use model::units::{Nanos, Timestamp};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::arrivals::{self, Arrival, Shape};
use crate::clock;
use crate::load::report::{RequestRow, ServiceReport};
use crate::load::work::{Speed, burn};
use crate::procfs;

/// A request looks at the clock so often, so the run ends on time even under a long backlog.
const CHUNKS_PER_REQUEST: u64 = 16;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub shape: Shape,
    pub span: Nanos,
    pub seed: u64,
    pub n_workers: usize,
    /// CPU time of one request on an undisturbed CPU.
    pub request: Nanos,
    pub speed: Speed,
    pub start_at: Timestamp,
}

/// Runs the whole schedule; returns when the span is over.
pub fn run(service: &Service) -> ServiceReport {
    let schedule = arrivals::schedule(&service.shape, service.span, service.seed);
    let next = AtomicUsize::new(0);
    let mut rows = thread::scope(|scope| {
        let worker = |n: usize| {
            let (schedule, next) = (&schedule, &next);
            scope.spawn(move || {
                spread(n);
                work_off(service, schedule, next)
            })
        };
        let workers: Vec<_> = (0..service.n_workers).map(worker).collect();
        let done = workers.into_iter().flat_map(|it| it.join().unwrap_or_default());
        done.collect::<Vec<RequestRow>>()
    });
    let untouched = schedule.iter().skip(next.load(Ordering::Relaxed));
    rows.extend(untouched.map(|arrival| unfinished(service, arrival)));
    ServiceReport::new(service.start_at, service.span, rows)
}

/// Starts worker `n` on a CPU of its own and then lets the scheduler move it. Without this the
/// kernel tolerates two workers on one CPU beside an idle one for seconds when the CPUs are in
/// different NUMA nodes, and `alone` would measure that. A CPU the cpuset denies is no error.
fn spread(n: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let mut own = CpuSet::new();
    own.set(cpus.get(n % cpus.len().max(1)).copied().unwrap_or(0));
    if sched_setaffinity(None, &own).is_ok() {
        thread::yield_now();
        // A set that was just read cannot be refused, short of a cpuset change in between; then
        // the worker keeps the one CPU, which is allowed.
        let _kept = sched_setaffinity(None, &allowed);
    }
}

fn work_off(service: &Service, schedule: &[Arrival], next: &AtomicUsize) -> Vec<RequestRow> {
    let end = service.start_at.after(service.span);
    let mut rows = Vec::new();
    let mut delay = ThreadDelay::open();
    while clock::now() < end {
        let Some(arrival) = schedule.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
        let arrives_at = service.start_at.after(arrival.at);
        clock::sleep_until(arrives_at);
        let finished = burn_until(service, end);
        if !finished {
            rows.push(unfinished(service, arrival));
            break;
        }
        rows.push(RequestRow {
            arrival_us: arrival.at.as_micros().0,
            latency_us: clock::now().since(arrives_at).as_micros().0,
            runq_us: delay.since_last().as_micros().0,
            period: arrival.period,
            finished,
        });
    }
    rows
}

/// One request's work; `false` when the run ended before the work did.
fn burn_until(service: &Service, end: Timestamp) -> bool {
    let chunk = service.speed.iterations_in(service.request) / CHUNKS_PER_REQUEST;
    for _ in 0..CHUNKS_PER_REQUEST {
        if clock::now() >= end {
            return false;
        }
        burn(chunk);
    }
    true
}

/// A request that was not finished counts with the time it waited so far.
fn unfinished(service: &Service, arrival: &Arrival) -> RequestRow {
    let waited = Nanos(service.span.0.saturating_sub(arrival.at.0)).as_micros().0;
    RequestRow {
        arrival_us: arrival.at.as_micros().0,
        latency_us: waited,
        runq_us: waited,
        period: arrival.period,
        finished: false,
    }
}

/// Run-queue delay of the calling thread between two calls.
struct ThreadDelay {
    /// `None` where the kernel has no scheduler accounting.
    file: Option<File>,
    last: Nanos,
}

impl ThreadDelay {
    fn open() -> ThreadDelay {
        let mut delay =
            ThreadDelay { file: File::open("/proc/thread-self/schedstat").ok(), last: Nanos(0) };
        delay.since_last();
        delay
    }

    fn since_last(&mut self) -> Nanos {
        let mut text = [0; 96];
        let read = self.file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok());
        let text = read.and_then(|len| std::str::from_utf8(&text[..len]).ok());
        let total = text.and_then(procfs::run_delay).unwrap_or(self.last);
        let since = Nanos(total.0.saturating_sub(self.last.0));
        self.last = total;
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::Period;

    fn service(request: Nanos, rate_hz: f64) -> Service {
        Service {
            shape: Shape {
                quiet: Nanos::from_millis(100),
                burst: Nanos::from_millis(100),
                quiet_rate_hz: rate_hz,
                burst_rate_hz: rate_hz,
            },
            span: Nanos::from_millis(300),
            seed: 1,
            n_workers: 2,
            request,
            speed: Speed { iterations_per_ms: 100_000 },
            start_at: clock::now(),
        }
    }

    #[test]
    fn every_scheduled_request_is_in_the_report() {
        let service = service(Nanos::from_millis(1), 50.0);
        let n_scheduled = arrivals::schedule(&service.shape, service.span, 1).len();
        assert!(n_scheduled > 3);
        assert_eq!(run(&service).requests.len(), n_scheduled);
    }

    #[test]
    fn an_overloaded_run_ends_on_time_and_reports_what_waited() {
        let service = service(Nanos::from_secs(8), 200.0);
        let n_scheduled = arrivals::schedule(&service.shape, service.span, 1).len();
        let report = run(&service);
        assert_eq!(report.requests.len(), n_scheduled);
        assert_eq!(report.n_unfinished as usize, n_scheduled);
        // 8 s of work per request: the run ends long before one is done
        assert!(clock::now().since(service.start_at) < Nanos::from_secs(30));
        let first = report.requests.first().expect("requests");
        assert!(first.latency_us.abs_diff(300_000 - first.arrival_us) <= 1, "{first:?}");
        let n_burst =
            |rows: &[RequestRow]| rows.iter().filter(|row| row.period == Period::Burst).count();
        assert!((1..n_scheduled).contains(&n_burst(&report.requests)));
    }
}
