//! The unit of CPU work: integer arithmetic that touches no memory, so that its cost depends on
//! nothing but the CPU time it gets.

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

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

/// Rounds per second of what an agent does all day: read a small kernel file, take it apart, keep
/// it in a map, write numbers as text. An emulator runs the plain integer loop at nearly native
/// speed but not this, so the native-versus-guest factor is taken from here.
pub fn agent_like_rounds_per_s() -> u64 {
    const ROUNDS: u64 = 200;
    const RUNS: usize = 50;
    let file = File::open("/proc/self/schedstat").ok();
    let fastest = (0..RUNS)
        .map(|_| {
            let began = clock::now();
            for round in 0..ROUNDS {
                agent_like_round(file.as_ref(), round);
            }
            clock::now().since(began).0.max(1)
        })
        .min()
        .unwrap_or(1);
    (ROUNDS * 1_000_000_000 / fastest).max(1)
}

fn agent_like_round(file: Option<&File>, round: u64) {
    let mut bytes = [0; 128];
    let len = file.and_then(|file| file.read_at(&mut bytes, 0).ok()).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
    let numbers = text.split_ascii_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let mut map: BTreeMap<String, u64> = BTreeMap::new();
    for (idx, number) in numbers.chain(round..round + 20).enumerate() {
        map.insert(format!("cgroup-{}-{idx}", number % 97), number);
    }
    black_box(map.values().copied().fold(0u64, u64::wrapping_add));
}
