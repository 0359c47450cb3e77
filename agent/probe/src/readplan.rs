//! Which hooks and map sizes a host gets, or why it gets none. Pure: a function of the facts, tried
//! on a table of kernels. An unknown fact permits the attempt; loading finds out.

use std::fmt;

use model::Bytes;

use crate::facts::{HostFacts, KernelRelease};
use crate::sizing::MapPlan;

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadPlan {
    Off(OffReason),
    Load {
        /// Kinds of hook to try, best first.
        hooks: Vec<Hooks>,
        /// Tasks' slots may be remembered, since moves between cgroups are seen.
        cache_slots: CacheSlots,
        /// Waits in progress are also looked at when a timer runs out.
        timers: Timers,
        maps: MapPlan,
    },
}

/// How the programs hang on the scheduler's tracepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// `BPF_PROG_TYPE_TRACING` on the BTF-typed tracepoint.
    BtfTracepoints,
    /// The older `BPF_PROG_TYPE_RAW_TRACEPOINT`, same events and arguments.
    RawTracepoints,
}

impl fmt::Display for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hooks::BtfTracepoints => "BTF tracepoints",
            Hooks::RawTracepoints => "raw tracepoints",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSlots {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timers {
    Yes,
    No,
}

/// Why no probe is loaded; each has another remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OffReason {
    #[error("this program was built without the BPF object; build it with `cargo xtask ebpf`")]
    NoObject,
    #[error("kernel {release} is older than {OLDEST}, the oldest this probe knows")]
    KernelTooOld { release: KernelRelease },
    #[error("the kernel has no BTF (/sys/kernel/btf/vmlinux); it needs CONFIG_DEBUG_INFO_BTF")]
    NoBtf,
    #[error("the process lacks CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN)")]
    NotPermitted,
    #[error("kernel lockdown `confidentiality` forbids BPF to read kernel memory")]
    LockedDown,
    #[error("a map budget of {budget} bytes is too small for {possible_cpus} CPUs")]
    BudgetTooSmall { budget: Bytes, possible_cpus: u32 },
}

/// cgroup ids in kernfs, ring buffers and BPF atomics are all there; older ones are untried.
const OLDEST: KernelRelease = KernelRelease { major: 5, minor: 15 };
/// When `/sys/devices/system/cpu/possible` cannot be read: enough for any machine we know, and
/// 450 bytes a CPU is cheap.
const ASSUMED_CPUS: u32 = 1024;
/// The kernel's default on small machines; more tasks only share cells.
const ASSUMED_PID_MAX: u32 = 32768;

pub fn read_plan(facts: &HostFacts, budget: Bytes) -> ReadPlan {
    if let Some(reason) = off_reason(facts) {
        return ReadPlan::Off(reason);
    }
    let possible_cpus = facts.possible_cpus.unwrap_or(ASSUMED_CPUS);
    let pid_max = facts.pid_max.unwrap_or(ASSUMED_PID_MAX);
    let Some(maps) = MapPlan::fit(possible_cpus, pid_max, budget) else {
        return ReadPlan::Off(OffReason::BudgetTooSmall { budget, possible_cpus });
    };
    let hooks = match facts.tp_btf {
        Some(false) => vec![Hooks::RawTracepoints],
        Some(true) | None => vec![Hooks::BtfTracepoints, Hooks::RawTracepoints],
    };
    let cache_slots =
        if facts.cgroup_events == Some(true) { CacheSlots::Yes } else { CacheSlots::No };
    let timers = if facts.timer_events == Some(true) { Timers::Yes } else { Timers::No };
    ReadPlan::Load { hooks, cache_slots, timers, maps }
}

fn off_reason(facts: &HostFacts) -> Option<OffReason> {
    if !facts.object {
        return Some(OffReason::NoObject);
    }
    if let Some(release) = facts.release.filter(|release| *release < OLDEST) {
        return Some(OffReason::KernelTooOld { release });
    }
    if facts.btf == Some(false) {
        return Some(OffReason::NoBtf);
    }
    if facts.bpf_permitted == Some(false) {
        return Some(OffReason::NotPermitted);
    }
    (facts.lockdown_confidentiality == Some(true)).then_some(OffReason::LockedDown)
}

#[cfg(test)]
mod tests;
