//! What a load program writes: one JSON file, read by the demo driver. The raw rows are kept
//! because windows and recover times are computed with a target that is known only later.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use model::units::{Nanos, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::arrivals::Period;
use crate::quantile::quantile;

/// Width of the bins of every time series.
pub const BIN: Nanos = Nanos::from_millis(100);

/// One request of the service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRow {
    /// Scheduled arrival after the start.
    pub arrival_us: u64,
    /// From the scheduled arrival to the end of its work, or to the end of the run when it was
    /// not finished.
    pub latency_us: u64,
    /// Run-queue delay of its thread since the thread's previous request ended.
    pub runq_us: u64,
    pub period: Period,
    pub finished: bool,
}

/// 100 ms of the service, by scheduled arrival.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceBin {
    pub n_requests: u64,
    pub p99_us: u64,
}

/// A whole run of the service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceReport {
    pub started_at_ns: u64,
    pub span_ns: u64,
    pub n_unfinished: u64,
    pub bins: Vec<ServiceBin>,
    pub requests: Vec<RequestRow>,
}

/// A whole run of a hog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HogReport {
    pub started_at_ns: u64,
    pub bin_ns: u64,
    /// Operations finished in each bin, all threads.
    pub ops: Vec<u64>,
}

impl ServiceReport {
    pub fn new(started_at: Timestamp, span: Nanos, mut requests: Vec<RequestRow>) -> Self {
        requests.sort_by_key(|row| row.arrival_us);
        ServiceReport {
            started_at_ns: started_at.0,
            span_ns: span.0,
            n_unfinished: requests.iter().filter(|row| !row.finished).count() as u64,
            bins: service_bins(&requests, span),
            requests,
        }
    }
}

fn service_bins(requests: &[RequestRow], span: Nanos) -> Vec<ServiceBin> {
    let n_bins = span.0.div_ceil(BIN.0) as usize;
    let mut bins = vec![Vec::new(); n_bins];
    for row in requests {
        let idx = (row.arrival_us * 1000 / BIN.0) as usize;
        if let Some(bin) = bins.get_mut(idx) {
            bin.push(row.latency_us);
        }
    }
    let bin = |latencies_us: Vec<u64>| ServiceBin {
        n_requests: latencies_us.len() as u64,
        p99_us: quantile(latencies_us, 990).unwrap_or(0),
    };
    bins.into_iter().map(bin).collect()
}

impl HogReport {
    /// Operations between two times; bins that straddle an edge count by their start.
    pub fn ops_between(&self, from: Timestamp, to: Timestamp) -> u64 {
        let rows = self.ops.iter().enumerate();
        let inside = rows.filter(|(idx, _)| {
            let start = self.started_at_ns + *idx as u64 * self.bin_ns;
            (from.0..to.0).contains(&start)
        });
        inside.map(|(_, ops)| ops).sum()
    }
}

pub fn write_json(path: &Path, report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(report).context("encoding the report")?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not a report", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(arrival_ms: u64, latency_ms: u64, period: Period, finished: bool) -> RequestRow {
        let arrival_us = arrival_ms * 1000;
        RequestRow { arrival_us, latency_us: latency_ms * 1000, runq_us: 0, period, finished }
    }

    #[test]
    fn a_report_counts_unfinished_requests_with_their_wait() {
        let rows = vec![
            row(250, 150, Period::Burst, false),
            row(10, 3, Period::Quiet, true),
            row(110, 4, Period::Burst, true),
        ];
        let report = ServiceReport::new(Timestamp(5), Nanos::from_millis(400), rows);
        assert_eq!(report.n_unfinished, 1);
        let p99s: Vec<u64> = report.bins.iter().map(|bin| bin.p99_us).collect();
        assert_eq!(p99s, [3_000, 4_000, 150_000, 0]);
        assert_eq!(report.requests[0].arrival_us, 10_000);
    }

    #[test]
    fn ops_are_cut_to_the_asked_time() {
        let report = HogReport { started_at_ns: 1000, bin_ns: 100, ops: vec![1, 2, 4, 8] };
        assert_eq!(report.ops_between(Timestamp(1100), Timestamp(1300)), 6);
        assert_eq!(report.ops_between(Timestamp(0), Timestamp(9999)), 15);
        assert_eq!(report.ops_between(Timestamp(1400), Timestamp(1500)), 0);
    }
}
