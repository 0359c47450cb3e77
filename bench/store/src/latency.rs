//! How long things took: every single one is kept, so that quantiles are exact.

use std::time::Duration;

use bench::quantile;

#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    nanos: Vec<u64>,
}

impl Latencies {
    pub(crate) fn record(&mut self, took: Duration) {
        // 584 years fit
        self.nanos.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn append(&mut self, mut other: Latencies) {
        self.nanos.append(&mut other.nanos);
    }

    pub(crate) fn len(&self) -> usize {
        self.nanos.len()
    }

    /// p50, p99, p99.9 and maximum in milliseconds; nothing of no values.
    pub(crate) fn figures(mut self) -> Vec<(&'static str, f64)> {
        self.nanos.sort_unstable();
        let ranks = [("p50_ms", 500), ("p99_ms", 990), ("p999_ms", 999), ("max_ms", 1000)];
        let of = |per_mille| quantile::of_sorted(&self.nanos, per_mille);
        ranks.into_iter().filter_map(|(name, rank)| Some((name, of(rank)? as f64 / 1e6))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latencies;

    #[test]
    fn quantiles_of_a_thousand() {
        let mut all = Latencies::default();
        (1..=1000).rev().for_each(|ms| all.record(Duration::from_millis(ms)));
        let expected =
            vec![("p50_ms", 500.0), ("p99_ms", 990.0), ("p999_ms", 999.0), ("max_ms", 1000.0)];
        assert_eq!(all.figures(), expected);
        assert_eq!(Latencies::default().figures(), vec![]);
    }
}
