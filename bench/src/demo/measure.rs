//! From raw rows to the figures of the table: quantiles of burst periods, run-queue waits,
//! recover times. Pure.

use model::units::Micros;
use serde::Serialize;

use crate::arrivals::Period;
use crate::load::report::RequestRow;
use crate::quantile::of_sorted;

/// "p99 over 200 ms": about 55 requests of a burst.
const WINDOW_US: u64 = 200_000;
/// Windows slide in steps of this.
const STEP_US: u64 = 20_000;

/// Quantiles of one set of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    pub n_requests: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
}

impl Quantiles {
    pub fn of(mut values_us: Vec<u64>) -> Quantiles {
        values_us.sort_unstable();
        let quantile = |per_mille| of_sorted(&values_us, per_mille).unwrap_or(0);
        Quantiles {
            n_requests: values_us.len() as u64,
            p50_us: quantile(500),
            p99_us: quantile(990),
            p999_us: quantile(999),
        }
    }
}

/// Latencies in burst periods.
pub fn burst_latency<'a>(requests: impl IntoIterator<Item = &'a RequestRow>) -> Quantiles {
    quantiles(
        requests.into_iter().filter(|row| row.period == Period::Burst).map(|row| row.latency_us),
    )
}

pub fn overall_latency<'a>(requests: impl IntoIterator<Item = &'a RequestRow>) -> Quantiles {
    quantiles(requests.into_iter().map(|row| row.latency_us))
}

/// Run-queue wait per request in burst periods.
pub fn burst_runq<'a>(requests: impl IntoIterator<Item = &'a RequestRow>) -> Quantiles {
    quantiles(requests.into_iter().filter(|row| row.period == Period::Burst).map(|row| row.runq_us))
}

fn quantiles(values_us: impl Iterator<Item = u64>) -> Quantiles {
    Quantiles::of(values_us.collect())
}

/// How long after a burst's start (both in microseconds after the service's start) the p99 of
/// 200 ms of arrivals is back under the target: the start of the first good window behind the
/// first bad one. Zero when no window was bad, the burst's length when it never recovered.
pub fn recover(requests: &[RequestRow], burst: (u64, u64), target_us: u64) -> Micros {
    let (start, end) = burst;
    let mut was_bad = false;
    let mut from = start;
    while from + WINDOW_US <= end {
        let inside = requests.iter().filter(|row| {
            (from..from + WINDOW_US).contains(&row.arrival_us) && row.period == Period::Burst
        });
        let p99 = quantiles(inside.map(|row| row.latency_us)).p99_us;
        match (was_bad, p99 > target_us) {
            (true, false) => return Micros(from - start),
            (_, is_bad) => was_bad |= is_bad,
        }
        from += STEP_US;
    }
    if was_bad { Micros(end - start) } else { Micros(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One request every 10 ms; `latency_us` by arrival.
    fn requests(latency_us: impl Fn(u64) -> u64) -> Vec<RequestRow> {
        let row = |n: u64| {
            let arrival_us = n * 10_000;
            let period = if arrival_us < 1_000_000 { Period::Quiet } else { Period::Burst };
            let latency_us = latency_us(arrival_us);
            RequestRow { arrival_us, latency_us, runq_us: 0, period, finished: true }
        };
        (0..300).map(row).collect()
    }

    #[track_caller]
    fn check(latency_us: impl Fn(u64) -> u64, expect_ms: u64) {
        let recovered = recover(&requests(latency_us), (1_000_000, 3_000_000), 10_000);
        assert_eq!(recovered, Micros(expect_ms * 1000));
    }

    #[test]
    fn recover_is_the_start_of_the_first_good_window() {
        check(|_| 5_000, 0);
        check(|_| 50_000, 2000);
        // slow until 300 ms into the burst: the window from 300 ms on is the first good one
        check(|at| if at < 1_300_000 { 50_000 } else { 5_000 }, 300);
        // good at first, slow from 400 to 600 ms
        check(|at| if (1_400_000..1_600_000).contains(&at) { 50_000 } else { 5_000 }, 600);
        // a slow quiet period is not the burst's
        check(|at| if at < 1_000_000 { 50_000 } else { 5_000 }, 0);
    }

    #[test]
    fn only_bursts_count_for_burst_latency() {
        let rows = requests(|at| if at < 1_000_000 { 90_000 } else { 5_000 });
        assert_eq!(burst_latency(&rows).p99_us, 5_000);
        assert_eq!(burst_latency(&rows).n_requests, 200);
        assert_eq!(overall_latency(&rows).n_requests, 300);
        assert!(overall_latency(&rows).p99_us >= 90_000);
        assert_eq!(burst_latency(&[]), Quantiles::default());
    }
}
