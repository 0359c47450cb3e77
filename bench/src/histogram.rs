//! A log-linear histogram of latencies: 64 linear buckets per power of two, so a quantile is at
//! most 1.6 % too high. Owns counting and quantiles; which latencies belong together is the
//! caller's.

use std::collections::BTreeMap;

use model::units::Micros;
use serde::{Deserialize, Serialize};

/// 2^6 buckets per power of two: the error stays far under the differences the demo shows.
const SUB_BITS: u32 = 6;
const SUB_BUCKETS: u64 = 1 << SUB_BITS;

/// Counts of latencies; empty buckets are not stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyHistogram {
    /// Count by the largest latency (in microseconds) of the bucket.
    counts: BTreeMap<u64, u64>,
    max_us: u64,
}

impl LatencyHistogram {
    pub fn record(&mut self, latency: Micros) {
        *self.counts.entry(bucket_last(latency.0)).or_default() += 1;
        self.max_us = self.max_us.max(latency.0);
    }

    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The latency that `per_mille` thousandths of all records do not exceed, rounded up to its
    /// bucket's end; `None` when nothing was recorded.
    pub fn quantile(&self, per_mille: u32) -> Option<Micros> {
        let rank = (self.count() * u64::from(per_mille.min(1000))).div_ceil(1000).max(1);
        let mut seen = 0;
        for (last, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return Some(Micros((*last).min(self.max_us)));
            }
        }
        None
    }
}

impl FromIterator<Micros> for LatencyHistogram {
    fn from_iter<I: IntoIterator<Item = Micros>>(latencies: I) -> Self {
        let mut histogram = LatencyHistogram::default();
        for latency in latencies {
            histogram.record(latency);
        }
        histogram
    }
}

/// The largest value that shares a bucket with `value`.
fn bucket_last(value: u64) -> u64 {
    if value < SUB_BUCKETS {
        return value;
    }
    let width_log2 = value.ilog2() - SUB_BITS;
    value | ((1 << width_log2) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[u64], per_mille: u32, expect: Option<u64>) {
        let histogram: LatencyHistogram = values.iter().copied().map(Micros).collect();
        assert_eq!(histogram.quantile(per_mille), expect.map(Micros));
    }

    #[test]
    fn quantiles_by_rank() {
        check(&[], 990, None);
        check(&[7], 990, Some(7));
        check(&[1, 2, 3, 4], 500, Some(2));
        check(&[1, 2, 3, 4], 1000, Some(4));
        // 100 records, rank 99 is the last of the short ones
        let mut values = vec![10; 99];
        values.push(5_000);
        check(&values, 990, Some(10));
        check(&values, 991, Some(5_000));
    }

    #[test]
    fn a_bucket_is_never_wider_than_a_64th_of_its_values() {
        for value in (0..200_000).chain([u64::MAX, 1 << 40]) {
            let last = bucket_last(value);
            assert!(last >= value, "{value} -> {last}");
            assert!(last - value <= value / 64, "{value} -> {last}");
            assert_eq!(bucket_last(last), last, "{value}");
        }
    }
}
