//! What the agent itself costs: resident memory and CPU time of its own process.

use collector::clock;
use model::{Bytes, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Remembers the last reading, for the rate.
#[derive(Debug, Default)]
pub struct SelfCost {
    last: Option<(Timestamp, u64)>,
}

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    pub rss: Option<Bytes>,
    /// Share of one CPU since the last reading; `None` at the first.
    pub cpu_ratio: Option<f64>,
}

impl SelfCost {
    pub fn read(&mut self) -> Cost {
        let now = clock::now();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_ns = (cpu.tv_sec.unsigned_abs())
            .saturating_mul(1_000_000_000)
            .saturating_add(cpu.tv_nsec.unsigned_abs());
        let cpu_ratio = self.last.map(|(then, cpu_then)| {
            let span = now.since(then).0.max(1);
            cpu_ns.saturating_sub(cpu_then) as f64 / span as f64
        });
        self.last = Some((now, cpu_ns));
        Cost { rss: hostfs::procfs::own_rss(), cpu_ratio }
    }
}
