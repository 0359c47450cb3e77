//! What a stretch of work costs in CPU time, at the server and at the generator, which on two cores is half of the machine.

use std::time::{Duration, Instant};

use crate::entry::Entry;
use crate::process;

#[derive(Debug)]
pub(crate) struct Meter {
    pid: u32,
    server: Duration,
    generator: Duration,
    started: Instant,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) server: Duration,
    pub(crate) generator: Duration,
    pub(crate) took: Duration,
}

impl Meter {
    /// `pid` is the server's.
    pub(crate) fn start(pid: u32) -> anyhow::Result<Meter> {
        let (server, generator) = (process::cpu(pid)?, process::cpu_of_self()?);
        Ok(Meter { pid, server, generator, started: Instant::now() })
    }

    pub(crate) fn stop(&self) -> anyhow::Result<Usage> {
        let took = self.started.elapsed();
        let server = process::cpu(self.pid)?.saturating_sub(self.server);
        let generator = process::cpu_of_self()?.saturating_sub(self.generator);
        Ok(Usage { server, generator, took })
    }
}

impl Usage {
    /// CPU-seconds per 100 000 operations, and the share of a core that each side had.
    pub(crate) fn per_100k(self, n_operations: u64, entry: Entry) -> Entry {
        let per_100k = |cpu: Duration| cpu.as_secs_f64() * 1e5 / n_operations.max(1) as f64;
        let entry = entry
            .with("server_cpu_s_per_100k", per_100k(self.server))
            .with("generator_cpu_s_per_100k", per_100k(self.generator));
        self.utilisation(entry)
    }

    pub(crate) fn utilisation(self, entry: Entry) -> Entry {
        let share = |cpu: Duration| cpu.as_secs_f64() / self.took.as_secs_f64().max(1e-9);
        entry
            .with("server_cpu_util", share(self.server))
            .with("generator_cpu_util", share(self.generator))
    }
}
