//! The unit of CPU work: integer arithmetic that touches no memory, so that its cost depends on
//! nothing but the CPU time it gets.

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::thread;

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

/// Measures the speed of a CPU whose neighbours are busy, since that is how the load will find it
/// (shared cores, a shared clock): a thread per CPU for a while, all their work together.
pub fn calibrate() -> Speed {
    const SPAN: Nanos = Nanos::from_millis(500);
    const STEP: u64 = 10_000;
    let n_cpus = thread::available_parallelism().map_or(1, usize::from);
    let until = clock::now().after(SPAN);
    let burn_on = || {
        let (began, mut iterations) = (clock::now(), 0);
        while clock::now() < until {
            burn(STEP);
            iterations += STEP;
        }
        (iterations, clock::now().since(began).as_micros().0)
    };
    let sums = thread::scope(|scope| {
        let threads: Vec<_> = (0..n_cpus).map(|_| scope.spawn(burn_on)).collect();
        let counts = threads.into_iter().filter_map(|thread| thread.join().ok());
        counts.fold((0, 0), |sums, counts| (sums.0 + counts.0, sums.1 + counts.1))
    });
    let (iterations, span_us): (u64, u64) = sums;
    Speed { iterations_per_ms: (iterations * 1000 / span_us.max(1)).max(1) }
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
