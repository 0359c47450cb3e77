//! The over-threshold detector. A wait is caught when it ends, and also while it goes on: each CPU
//! keeps a few watched waits and the earliest time one of them may be over, which every switch and
//! every timer on that CPU compares with the clock, and once per `PEER_CHECK_NS` one elsewhere does
//! too, so that a hog which never yields cannot hide the victim it starves.

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns};

use agent_ebpf_common::{
    BurstRecord, CPU_UNKNOWN, CpuCell, N_PENDING, Pending, SlotSetting, TaskCell,
};
use aya_ebpf::Global;

use crate::kernel::Probed;
use crate::{kernel, maps, wait};

/// Bounds the cost of looking at other CPUs to one foreign cache line per millisecond and CPU.
const PEER_CHECK_NS: u64 = 1_000_000;
/// Bounds one switch; the agent's own wake-ups then see 16 CPUs each.
const MAX_PEERS: u64 = 16;

#[unsafe(no_mangle)]
static N_CPUS: Global<u32> = Global::new(1);

/// Watches the wait in `cell` on `cpu`, when its slot has a threshold.
#[inline(always)]
pub fn arm(cell: &TaskCell, cpu: u32) {
    let Some(setting) = watched(cell.slot) else { return };
    let Some(queue) = maps::CPUS.get_ptr_mut(cpu) else { return };
    // SAFETY: a live map value; racing writers each store whole words and a lost watch is found
    // again at the next stamp.
    let queue = unsafe { &mut *queue };
    let pending = &mut queue.pending[cell.pid as usize & (N_PENDING - 1)];
    if pending.wait_start_ns != 0 && pending.pid != cell.pid {
        return;
    }
    pending.pid = cell.pid;
    pending.slot = cell.slot;
    pending.wait_start_ns = cell.wait_start_ns;
    let due = cell.wait_start_ns + setting.threshold_ns;
    if queue.next_check_ns == 0 || due < queue.next_check_ns {
        queue.next_check_ns = due;
    }
}

/// A watched task was switched in on `queue`'s CPU after `contended_ns` of waiting for
/// `waited_on`, which is another one after a migration.
#[inline(always)]
pub fn ended(cell: &TaskCell, queue: &mut CpuCell, waited_on: u32, now: u64, contended_ns: u64) {
    let Some(setting) = watched(cell.slot) else { return };
    let pending = &mut queue.pending[cell.pid as usize & (N_PENDING - 1)];
    if pending.pid == cell.pid {
        pending.wait_start_ns = 0;
    }
    if contended_ns > setting.threshold_ns {
        report(queue, cell.slot, waited_on, now, contended_ns, &setting);
    }
}

/// A timer ran out on this CPU. Two busy tasks may go without a switch for several scheduler ticks;
/// each tick is a timer.
#[inline(always)]
pub fn on_timer() {
    // SAFETY: plain helper calls.
    let (now, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    let Some(queue) = maps::CPUS.get_ptr_mut(cpu) else { return };
    // SAFETY: a whole live map value; interrupts are off as in a switch.
    check(unsafe { &mut *queue }, cpu, now);
}

/// Looks at this CPU's watched waits if one is due, and at other CPUs' now and then: one for each
/// millisecond since the last time, so that a machine with few switches is not seen late.
#[inline(always)]
pub fn check(queue: &mut CpuCell, cpu: u32, now: u64) {
    if queue.next_check_ns != 0 && now >= queue.next_check_ns {
        scan_cpu(cpu, now);
        return;
    }
    let since_ns = now.saturating_sub(queue.peer_checked_ns);
    if since_ns < PEER_CHECK_NS {
        return;
    }
    queue.peer_checked_ns = now;
    let mut peer = queue.peer as u32;
    for nth in 0..MAX_PEERS {
        if nth * PEER_CHECK_NS > since_ns {
            break;
        }
        peer = if peer + 1 < N_CPUS.load() { peer + 1 } else { 0 };
        scan_cpu(peer, now);
    }
    queue.peer = u64::from(peer);
}

/// Not inlined, for the same reason as `wait::attribute_wait`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn scan_cpu(cpu: u32, now: u64) -> u32 {
    let Some(queue) = maps::CPUS.get_ptr_mut(cpu) else { return 0 };
    // SAFETY: a whole live map value; see `arm` on races.
    let queue = unsafe { &mut *queue };
    if queue.next_check_ns != 0 && now >= queue.next_check_ns {
        scan(queue, cpu, now);
    }
    0
}

#[inline(always)]
fn scan(queue: &mut CpuCell, cpu: u32, now: u64) {
    let mut next = u64::MAX;
    for idx in 0..N_PENDING {
        let pending = queue.pending[idx];
        if pending.wait_start_ns == 0 {
            continue;
        }
        match due(queue, cpu, &pending, now) {
            0 => queue.pending[idx].wait_start_ns = 0,
            due if due < next => next = due,
            _ => {}
        }
    }
    queue.next_check_ns = if next == u64::MAX { 0 } else { next };
}

/// Reports the wait if it is over its threshold. Returns when to look again, 0 = never.
#[inline(always)]
fn due(queue: &mut CpuCell, cpu: u32, pending: &Pending, now: u64) -> u64 {
    let Some(setting) = watched(pending.slot) else { return 0 };
    let Some(cell) = wait::cell_of(pending.pid) else { return 0 };
    let waits_here = cell.pid == pending.pid
        && cell.wait_start_ns == pending.wait_start_ns
        && (cell.cpu == cpu || cell.cpu == CPU_UNKNOWN)
        && queue.pid != pending.pid;
    if !waits_here {
        return 0;
    }
    if kernel::throttled_since::<Probed>(cell.cfs_rq) != 0 {
        return now + setting.threshold_ns;
    }
    let wait_ns = now.saturating_sub(pending.wait_start_ns);
    let contended_ns = wait_ns - wait::throttled_ns::<Probed>(cell, cell.cfs_rq, wait_ns);
    if contended_ns < setting.threshold_ns {
        return now + (setting.threshold_ns - contended_ns);
    }
    if report(queue, pending.slot, cpu, now, contended_ns, &setting) {
        return now + setting.burst_gap_ns + setting.threshold_ns;
    }
    // An earlier wait was reported less than a gap ago. This one may outlast the gap, and whoever
    // was told of the earlier one may have let batch work go meanwhile.
    now + setting.threshold_ns
}

/// Whether a record was owed; a full ring buffer loses it and counts that.
#[inline(always)]
fn report(
    queue: &mut CpuCell,
    victim: u32,
    cpu: u32,
    now: u64,
    contended_ns: u64,
    setting: &SlotSetting,
) -> bool {
    if !maps::claim_burst(victim, now, setting.burst_gap_ns) {
        return false;
    }
    let from = now.saturating_sub(contended_ns);
    let record = BurstRecord {
        first_wait_ns: from + setting.threshold_ns,
        wait_ns: contended_ns,
        victim,
        offender: wait::main_offender(victim, cpu, from, now),
        cpu,
        _pad: 0,
    };
    if !maps::push_burst(&record) {
        queue.lost_records += 1;
    }
    true
}

#[inline(always)]
fn watched(slot: u32) -> Option<SlotSetting> {
    let setting = *maps::SETTINGS.get(slot)?;
    if setting.threshold_ns == 0 { None } else { Some(setting) }
}
