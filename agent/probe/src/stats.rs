//! What the kernel itself says our programs cost (`BPF_ENABLE_STATS`).

use std::fmt;
use std::os::fd::OwnedFd;

use model::Nanos;

/// Runs of one program while statistics were on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramStats {
    pub name: String,
    pub run_cnt: u64,
    pub run_time: Nanos,
}

impl ProgramStats {
    /// Mean time of one run; `None` when there was none.
    pub fn per_run(&self) -> Option<Nanos> {
        self.run_time.0.checked_div(self.run_cnt).map(Nanos)
    }
}

/// Keeps the kernel counting while it lives. Counting itself costs two clock reads per run.
pub struct StatsOn {
    _fd: OwnedFd,
}

impl fmt::Debug for StatsOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatsOn")
    }
}

/// The kernel refused to count.
#[derive(Debug, thiserror::Error)]
#[error("switching BPF run-time statistics on failed")]
pub struct StatsError {
    #[source]
    source: aya::sys::SyscallError,
}

pub fn enable_stats() -> Result<StatsOn, StatsError> {
    let fd =
        aya::sys::enable_stats(aya::sys::Stats::RunTime).map_err(|source| StatsError { source })?;
    Ok(StatsOn { _fd: fd })
}
