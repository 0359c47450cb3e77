//! The unit of CPU work: integer arithmetic that touches no memory, so that its cost depends on
//! nothing but the CPU time it gets.

use std::hint::black_box;

use model::units::Nanos;

use crate::clock;

/// Iterations of the work loop per millisecond of an undisturbed CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    pub iterations_per_ms: u64,
}

impl Speed {
    pub fn iterations_in(self, span: Nanos) -> u64 {
        (u128::from(self.iterations_per_ms) * u128::from(span.0) / 1_000_000) as u64
    }
}

/// Runs the loop `iterations` times.
pub fn burn(iterations: u64) {
    let mut value = black_box(0x2545_f491_4f6c_dd1d_u64);
    for _ in 0..iterations {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
    }
    black_box(value);
}

/// Measures this machine's speed. The fastest of many short runs is taken: disturbance only ever
/// makes a run slower.
pub fn calibrate() -> Speed {
    /// Long enough that reading the clock does not count, short enough to fit a time slice.
    const ITERATIONS: u64 = 200_000;
    const RUNS: usize = 200;
    let fastest = (0..RUNS)
        .map(|_| {
            let began = clock::now();
            burn(ITERATIONS);
            clock::now().since(began).0.max(1)
        })
        .min()
        .unwrap_or(1);
    Speed { iterations_per_ms: (ITERATIONS * 1_000_000 / fastest).max(1) }
}
