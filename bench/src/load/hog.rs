//! The batch hog: threads that never sleep and count operations.

use std::thread;

use model::units::{Nanos, Timestamp};

use crate::clock;
use crate::load::report::{BIN, HogReport};
use crate::load::work::{Speed, burn};

/// CPU time of one operation: small against a bin of 100 ms, large against reading the clock.
const OPERATION: Nanos = Nanos(200_000);

/// Runs `n_threads` hogs for `span` and counts operations per bin.
pub fn run(n_threads: usize, span: Nanos, speed: Speed) -> HogReport {
    let started_at = clock::now();
    let bins = thread::scope(|scope| {
        let hog = || scope.spawn(move || count(started_at, span, speed));
        let hogs: Vec<_> = (0..n_threads).map(|_| hog()).collect();
        let bins = hogs.into_iter().map(|it| it.join().unwrap_or_default());
        bins.reduce(|sum, more| sum.iter().zip(&more).map(|(a, b)| a + b).collect())
    });
    HogReport { started_at_ns: started_at.0, bin_ns: BIN.0, ops: bins.unwrap_or_default() }
}

fn count(started_at: Timestamp, span: Nanos, speed: Speed) -> Vec<u64> {
    let mut bins = vec![0; span.0.div_ceil(BIN.0) as usize];
    let iterations = speed.iterations_in(OPERATION);
    loop {
        burn(iterations);
        let elapsed = clock::now().since(started_at);
        if elapsed >= span {
            return bins;
        }
        if let Some(bin) = bins.get_mut((elapsed.0 / BIN.0) as usize) {
            *bin += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hog_counts_in_every_bin_and_ends() {
        let speed = Speed { iterations_per_ms: 10_000 };
        let report = run(2, Nanos::from_millis(300), speed);
        assert_eq!(report.ops.len(), 3);
        assert!(report.ops.iter().sum::<u64>() > 0);
    }
}
