//! The log2 histogram of run-queue waits that BPF fills and user space reads.
//! Bucket `i` counts waits of `[2^i, 2^(i+1))` nanoseconds; bucket 0 also holds zero.

use crate::units::Nanos;

/// 2^39 ns is nine minutes: longer waits are hangs and land in the last bucket.
pub const N_BUCKETS: usize = 40;

/// Counts of waits by power of two of nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    pub buckets: [u64; N_BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: [0; N_BUCKETS] }
    }
}

impl Histogram {
    /// The bucket that a wait of `wait` falls into.
    pub const fn bucket_of(wait: Nanos) -> usize {
        match wait.0 {
            0 => 0,
            nanos => {
                let log2 = 63 - nanos.leading_zeros() as usize;
                if log2 < N_BUCKETS { log2 } else { N_BUCKETS - 1 }
            }
        }
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What was added since `earlier`. A counter that went backwards (the map was recreated)
    /// counts from zero.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let mut delta = *self;
        for (bucket, before) in delta.buckets.iter_mut().zip(earlier.buckets) {
            *bucket = bucket.checked_sub(before).unwrap_or(*bucket);
        }
        delta
    }

    pub fn add(&mut self, other: &Histogram) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket = bucket.saturating_add(more);
        }
    }

    /// The wait that a share of `per_mille` thousandths of all waits stay under, interpolated
    /// linearly inside its bucket; `None` when nothing was counted.
    pub fn quantile(&self, per_mille: u32) -> Option<Nanos> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = (u128::from(total) * u128::from(per_mille.min(1000))).div_ceil(1000).max(1);
        let mut seen: u128 = 0;
        for (idx, count) in self.buckets.iter().enumerate() {
            let count = u128::from(*count);
            if seen + count >= rank {
                let low: u128 = if idx == 0 { 0 } else { 1 << idx };
                let width: u128 = (1u128 << (idx + 1)) - low;
                let into = width * (rank - seen) / count.max(1);
                return Some(Nanos(u64::try_from(low + into).unwrap_or(u64::MAX)));
            }
            seen += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(waits: &[(u64, u64)], per_mille: u32, expect: Option<u64>) {
        let mut histogram = Histogram::default();
        for (nanos, count) in waits {
            histogram.buckets[Histogram::bucket_of(Nanos(*nanos))] += count;
        }
        assert_eq!(histogram.quantile(per_mille), expect.map(Nanos));
    }

    #[test]
    fn quantiles_stay_inside_the_bucket_that_holds_the_rank() {
        check(&[], 990, None);
        // one wait of 1000 ns lies in [512, 1024): rank 1 of 1 is the upper edge
        check(&[(1000, 1)], 500, Some(1024));
        // 99 short, 1 long: p99 is the last of the short ones, p999 the long one
        check(&[(1000, 99), (1 << 20, 1)], 990, Some(1024));
        check(&[(1000, 99), (1 << 20, 1)], 999, Some(1 << 21));
        // half-way through 4 waits of [1024, 2048)
        check(&[(1500, 4)], 500, Some(1536));
        check(&[(0, 10)], 990, Some(2));
        check(&[(u64::MAX, 1)], 1000, Some(1 << 40));
    }

    #[test]
    fn a_counter_that_went_backwards_counts_from_zero() {
        let mut before = Histogram::default();
        before.buckets[3] = 10;
        let mut after = Histogram::default();
        after.buckets[3] = 4;
        assert_eq!(after.since(&before).buckets[3], 4);
        after.buckets[3] = 14;
        assert_eq!(after.since(&before).buckets[3], 4);
    }
}
