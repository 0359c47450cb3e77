//! The witness of contention where there is no BPF: PSI triggers on the cgroups of
//! latency-critical workloads. About 0.5 s late (the kernel's smallest window for a trigger), and
//! blind to who the offender is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use collector::clock;
use hostfs::CgroupTree;
use hostfs::cgroup::read::PressureOf;
use hostfs::cgroup::trigger::PsiTrigger;
use hostfs::psi::{Stalled, Threshold};
use model::qos::CgroupPath;
use model::sample::{Burst, WorkloadSample};
use model::units::{CpuId, Micros, SlotId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

/// A tenth of the window stalled: the same order as a run-queue p99 of tens of milliseconds.
const STALL: Micros = Micros(50_000);
/// The smallest window the kernel accepts (kernel/sched/psi.c, WINDOW_MIN_US).
const WINDOW: Micros = Micros(500_000);
/// How soon a new workload gets its trigger.
const REFRESH: Duration = Duration::from_secs(1);
/// Bursts waiting for the loop; older ones say the same thing.
const QUEUE: usize = 16;

/// The cgroups of victims and their slots, as the collector last saw them.
pub type Victims = BTreeMap<CgroupPath, SlotId>;

/// Which of the workloads can be victims.
pub fn victims<'a>(workloads: impl Iterator<Item = &'a WorkloadSample>) -> Victims {
    workloads
        .filter(|workload| !workload.spec.qos.is_reclaimed())
        .map(|workload| (workload.cgroup.clone(), workload.slot))
        .collect()
}

/// Starts the waiting thread; it ends when nobody receives any more.
pub fn follow(
    tree: CgroupTree,
    victims: watch::Receiver<Victims>,
) -> std::io::Result<mpsc::Receiver<Burst>> {
    let (bursts, received) = mpsc::channel(QUEUE);
    let thread = std::thread::Builder::new().name("read-psi".to_owned());
    thread.spawn(move || {
        let mut armed: BTreeMap<CgroupPath, (SlotId, PsiTrigger)> = BTreeMap::new();
        let mut refused = BTreeSet::new();
        while !bursts.is_closed() {
            // Copied: the loop must not wait for what follows.
            let wanted = victims.borrow().clone();
            rearm(&tree, &wanted, &mut armed, &mut refused);
            for (slot, path) in wait(&mut armed) {
                tracing::debug!(cgroup = %path, "Pressure trigger fired");
                let burst = Burst {
                    victim: slot,
                    cpu: CpuId(0),
                    first_wait_at: clock::now(),
                    wait: STALL.as_nanos(),
                    offender: SlotId::UNTRACKED,
                };
                // A full queue holds bursts that say the same.
                let _ = bursts.try_send(burst);
            }
        }
    })?;
    Ok(received)
}

fn rearm(
    tree: &CgroupTree,
    victims: &Victims,
    armed: &mut BTreeMap<CgroupPath, (SlotId, PsiTrigger)>,
    refused: &mut BTreeSet<CgroupPath>,
) {
    armed.retain(|path, (slot, _)| victims.get(path) == Some(slot));
    refused.retain(|path| victims.contains_key(path));
    for (path, slot) in victims {
        if armed.contains_key(path) {
            continue;
        }
        match arm(tree, path) {
            Ok(trigger) => {
                info!(cgroup = %path, "Pressure trigger armed");
                refused.remove(path);
                armed.insert(path.clone(), (*slot, trigger));
            }
            // Tried again each time, told once.
            Err(error) => {
                if refused.insert(path.clone()) {
                    warn!(cgroup = %path, %error, "No pressure trigger");
                }
            }
        }
    }
}

fn arm(tree: &CgroupTree, path: &CgroupPath) -> Result<PsiTrigger, String> {
    let threshold = Threshold::new(Stalled::Some, STALL, WINDOW).map_err(str::to_owned)?;
    let cgroup = tree.cgroup(path).map_err(|error| error.to_string())?;
    PsiTrigger::arm(&cgroup, PressureOf::Cpu, threshold).map_err(|error| error.to_string())
}

/// The triggers that fired within `REFRESH`; those of removed cgroups are dropped.
fn wait(armed: &mut BTreeMap<CgroupPath, (SlotId, PsiTrigger)>) -> Vec<(SlotId, CgroupPath)> {
    let names: Vec<CgroupPath> = armed.keys().cloned().collect();
    let timeout = Timespec::try_from(REFRESH).ok();
    let events: Vec<PollFlags> = {
        let mut fds: Vec<PollFd<'_>> =
            armed.values().map(|(_, trigger)| PollFd::new(trigger, PollFlags::PRI)).collect();
        if let Err(errno) = poll(&mut fds, timeout.as_ref()) {
            warn!(%errno, "Pressure triggers cannot be polled");
            std::thread::sleep(REFRESH);
        }
        fds.iter().map(PollFd::revents).collect()
    };
    let mut fired = Vec::new();
    for (name, event) in names.iter().zip(events) {
        if event.contains(PollFlags::ERR) {
            armed.remove(name);
        } else if event.contains(PollFlags::PRI)
            && let Some((slot, _)) = armed.get(name)
        {
            fired.push((*slot, name.clone()));
        }
    }
    fired
}
