//! `sched_switch`: the outgoing task's time is charged to its slot and its wait begins when it is
//! still runnable; the incoming task's wait ends. O(1), under the run-queue lock.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns};

use agent_ebpf_common::{CpuCell, N_SEGMENTS, SLOT_IDLE, SLOT_UNTRACKED, Segment, TaskCell};

use crate::{burst, kernel, maps, wait};

#[inline(always)]
pub fn on_switch(prev: u64, next: u64) {
    // SAFETY: plain helper calls.
    let (now, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    let Some(queue) = maps::CPUS.get_ptr_mut(cpu) else { return };
    // SAFETY: only this CPU writes the cell, bar the watched waits (see `burst::arm`).
    let queue = unsafe { &mut *queue };
    queue.events += 1;
    let (generation, changed_ns) = maps::generation();
    leave(queue, prev, cpu, now, (generation, changed_ns));
    enter(queue, next, cpu, now, generation);
    burst::check(queue, cpu, now);
}

#[inline(always)]
fn leave(queue: &mut CpuCell, prev: u64, cpu: u32, now: u64, generation: (u32, u64)) {
    // `current` is the outgoing task here, and its pid cheaper to get than to read.
    let pid = bpf_get_current_pid_tgid() as u32;
    if pid == 0 {
        return;
    }
    if queue.pid != pid || queue.generation != generation.0 {
        settle(queue, prev, pid, cpu, generation.1);
    }
    let slot = queue.slot;
    if slot == SLOT_UNTRACKED || slot == SLOT_IDLE {
        return;
    }
    if queue.run_start_ns != 0 {
        charge(slot, cpu, now.saturating_sub(queue.run_start_ns));
    }
    let Some((cell, _)) = wait::look_up(prev, pid, generation.0) else { return };
    if kernel::is_runnable(prev) {
        wait::begin(cell, prev, cpu, now);
        burst::arm(cell, cpu);
    } else {
        cell.wait_start_ns = 0;
    }
}

/// The running task may have changed its slot since it was switched in: what it ran before the
/// change stays with the old one.
#[inline(always)]
fn settle(queue: &mut CpuCell, prev: u64, pid: u32, cpu: u32, changed_ns: u64) {
    let slot = kernel::slot(prev);
    if slot == queue.slot && pid == queue.pid {
        return;
    }
    let known = queue.slot != SLOT_UNTRACKED && queue.slot != SLOT_IDLE;
    if queue.run_start_ns != 0 && changed_ns > queue.run_start_ns {
        if known && queue.pid == pid {
            charge(queue.slot, cpu, changed_ns - queue.run_start_ns);
        }
        queue.run_start_ns = changed_ns;
        push(queue, changed_ns, slot);
    }
    queue.slot = slot;
    queue.pid = pid;
}

#[inline(always)]
fn enter(queue: &mut CpuCell, next: u64, cpu: u32, now: u64, generation: u32) {
    let pid = kernel::pid(next);
    let mut slot = SLOT_IDLE;
    if pid != 0 {
        match wait::look_up(next, pid, generation) {
            Some((cell, found)) => {
                slot = found;
                if cell.wait_start_ns != 0 && slot != SLOT_UNTRACKED {
                    end_wait(cell, queue, cpu, now);
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
}

#[inline(always)]
fn end_wait(cell: &TaskCell, queue: &mut CpuCell, cpu: u32, now: u64) {
    let wait_ns = now.saturating_sub(cell.wait_start_ns);
    let throttled_ns = wait::throttled_ns(cell, wait_ns);
    wait::count(cell, cpu, now, throttled_ns);
    burst::ended(cell, queue, cpu, now, wait_ns - throttled_ns);
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
