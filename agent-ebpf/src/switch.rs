//! `sched_switch`: the outgoing task's time is charged to its slot and its wait begins when it is
//! still runnable; the incoming task's wait ends. O(1), under the run-queue lock.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns};

use agent_ebpf_common::{
    CPU_UNKNOWN, CpuCell, N_SEGMENTS, SLOT_IDLE, SLOT_UNTRACKED, Segment, TaskCell,
};

use crate::kernel::{Access, Probed};
use crate::{burst, kernel, maps, wait};

#[inline(always)]
pub fn on_switch<A: Access>(prev: u64, next: u64) {
    // SAFETY: plain helper calls.
    let (now, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    let Some(queue) = maps::CPUS.get_ptr_mut(cpu) else { return };
    // SAFETY: only this CPU writes the cell, bar the watched waits (see `burst::arm`).
    let queue = unsafe { &mut *queue };
    queue.events += 1;
    let (generation, changed_ns) = maps::generation();
    leave::<A>(queue, prev, cpu, now, (generation, changed_ns));
    enter::<A>(queue, next, cpu, now, generation);
    burst::check(queue, cpu, now);
}

#[inline(always)]
fn leave<A: Access>(queue: &mut CpuCell, prev: u64, cpu: u32, now: u64, generation: (u32, u64)) {
    // `current` is the outgoing task here, and its pid cheaper to get than to read.
    let pid = bpf_get_current_pid_tgid() as u32;
    if pid == 0 {
        if queue.head == 0 && generation.1 != 0 {
            push(queue, generation.1, SLOT_IDLE);
            queue.slot = SLOT_IDLE;
        }
        return;
    }
    let exec_ns = kernel::exec_ns::<A>(prev);
    if queue.pid != pid || queue.generation != generation.0 {
        settle(queue, prev, pid, cpu, now, exec_ns, generation.1);
    }
    let slot = queue.slot;
    if slot == SLOT_UNTRACKED || slot == SLOT_IDLE {
        return;
    }
    if queue.run_start_ns != 0 {
        charge(slot, cpu, exec_ns.saturating_sub(queue.run_start_exec_ns));
    }
    let Some((cell, _)) = wait::look_up(prev, pid, generation.0) else { return };
    if kernel::is_runnable::<A>(prev) {
        cell.wait_start_ns = now;
        wait::queue::<A>(cell, kernel::cfs_rq::<A>(prev), cpu);
        burst::arm(cell, cpu);
    } else {
        cell.wait_start_ns = 0;
    }
}

/// The running task may have changed its slot since it was switched in: what it ran before the
/// change stays with the old one. Also for a task that ran before the probe saw its first switch
/// here: it counts from the change on, since when at least it has been running.
#[inline(always)]
fn settle(
    queue: &mut CpuCell,
    prev: u64,
    pid: u32,
    cpu: u32,
    now: u64,
    exec_ns: u64,
    changed_ns: u64,
) {
    let slot = kernel::slot(prev);
    if slot == queue.slot && pid == queue.pid {
        return;
    }
    if changed_ns > queue.run_start_ns {
        let exec_at_change = exec_ns.saturating_sub(now.saturating_sub(changed_ns));
        let tracked = queue.slot != SLOT_UNTRACKED && queue.slot != SLOT_IDLE;
        if tracked && queue.pid == pid {
            charge(queue.slot, cpu, exec_at_change.saturating_sub(queue.run_start_exec_ns));
        }
        queue.run_start_ns = changed_ns;
        queue.run_start_exec_ns = exec_at_change;
        push(queue, changed_ns, slot);
    }
    queue.slot = slot;
    queue.pid = pid;
}

#[inline(always)]
fn enter<A: Access>(queue: &mut CpuCell, next: u64, cpu: u32, now: u64, generation: u32) {
    let pid = kernel::pid::<A>(next);
    let mut slot = SLOT_IDLE;
    if pid != 0 {
        match wait::look_up(next, pid, generation) {
            Some((cell, found)) => {
                slot = found;
                if cell.wait_start_ns != 0 && slot != SLOT_UNTRACKED {
                    end_wait::<A>(cell, queue, next, cpu, now);
                }
                cell.wait_start_ns = 0;
            }
            None => slot = SLOT_UNTRACKED,
        }
    }
    if slot != queue.slot || queue.head == 0 {
        push(queue, now, slot);
    }
    queue.slot = slot;
    queue.pid = pid;
    queue.generation = generation;
    queue.run_start_ns = now;
    queue.run_start_exec_ns = kernel::exec_ns::<A>(next);
}

#[inline(always)]
fn end_wait<A: Access>(cell: &TaskCell, queue: &mut CpuCell, next: u64, cpu: u32, now: u64) {
    let wait_ns = now.saturating_sub(cell.wait_start_ns);
    let cfs_rq = kernel::cfs_rq::<A>(next);
    let throttled_ns = if cfs_rq == cell.cfs_rq {
        wait::throttled_ns::<A>(cell, cfs_rq, wait_ns)
    } else {
        // It migrated while it waited: the clock it began with is the other CPU's.
        wait::throttled_ns::<Probed>(cell, cell.cfs_rq, wait_ns)
    };
    let waited_on = if cell.cpu == CPU_UNKNOWN { cpu } else { cell.cpu };
    wait::count(cell, cpu, waited_on, now, throttled_ns);
    burst::ended(cell, queue, waited_on, now, wait_ns - throttled_ns);
}

#[inline(always)]
fn charge(slot: u32, cpu: u32, ran_ns: u64) {
    if let Some(counters) = maps::slot_cell(slot, cpu) {
        // SAFETY: a whole live map value.
        unsafe { maps::add(&raw mut (*counters).on_cpu_ns, ran_ns) };
    }
}

#[inline(always)]
fn push(queue: &mut CpuCell, start_ns: u64, slot: u32) {
    queue.segments[queue.head as usize & (N_SEGMENTS - 1)] =
        Segment { start_ns, slot: u64::from(slot) };
    queue.head = queue.head.wrapping_add(1);
}
