//! What the kernel lets the agent do once it runs: rights that only its start needs are given up, for good. Owns which
//! those are; who has granted what before is the unit's and the manifest's. A right that was never there is no error.

use collector::clock;
use probe::{ProbeSource, ReadError};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use tracing::{info, warn};

/// What is written while the agent runs: files of other users (OOM scores), the admin socket's group, priorities of
/// threads, locked memory, open files and scores below those that stand.
const RUNNING: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::SYS_NICE)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::SYS_RESOURCE);

/// To be called when the BPF programs are attached and before another thread is started: capabilities belong to
/// threads, and each has those of the one that starts it. Whoever takes over this process later loads no program and
/// reads no memory of the kernel.
///
/// A kernel before 5.19 wants CAP_BPF for every bpf(2), a later one only for what makes an object (kernel/bpf/syscall.c,
/// `__sys_bpf`). That is tried, not looked up: distributions carry patches back.
pub fn give_up_after_start(probe: &mut dyn ProbeSource) {
    let kept = if reads_without_bpf(probe) { RUNNING } else { RUNNING | CapabilitySet::BPF };
    match keep(kept) {
        Ok(given_up) => info!(?given_up, "Rights of the start are given up"),
        Err(errno) => warn!(%errno, "Rights of the start are kept"),
    }
}

/// The same for a process that puts files back and has no probe.
pub fn give_up_for_files() {
    if let Err(errno) = keep(RUNNING) {
        warn!(%errno, "More rights are kept than are needed");
    }
}

/// On a thread of its own, which has given its rights up already.
fn reads_without_bpf(probe: &mut dyn ProbeSource) -> bool {
    std::thread::scope(|scope| {
        let trial = scope.spawn(|| {
            keep(RUNNING).is_ok()
                && matches!(probe.read(clock::now()), Ok(_) | Err(ReadError::Off { .. }))
        });
        trial.join().unwrap_or(false)
    })
}

/// Gives up everything else; returns what was there of it.
fn keep(kept: CapabilitySet) -> Result<CapabilitySet, Errno> {
    let had = capabilities(None)?;
    let sets = CapabilitySets {
        effective: had.effective & kept,
        permitted: had.permitted & kept,
        inheritable: had.inheritable & kept,
    };
    set_capabilities(None, sets)?;
    Ok(had.permitted - kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the process may do, its thread may do less afterwards and never more.
    #[test]
    fn what_is_not_kept_is_gone_and_nothing_comes_back() {
        let thread = std::thread::spawn(|| {
            let before = capabilities(None).expect("capget");
            keep(CapabilitySet::SYS_NICE | CapabilitySet::BPF).expect("less is always allowed");
            let given_up = keep(CapabilitySet::SYS_NICE | CapabilitySet::IPC_LOCK).expect("less");
            assert_eq!(given_up, before.permitted & CapabilitySet::BPF);
            let now = capabilities(None).expect("capget");
            assert_eq!(now.permitted, before.permitted & CapabilitySet::SYS_NICE);
            assert_eq!(now.effective, before.effective & CapabilitySet::SYS_NICE);
        });
        thread.join().expect("no panic");
    }
}
