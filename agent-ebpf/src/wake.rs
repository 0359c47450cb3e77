//! A task becomes runnable: the earliest of `sched_waking`, `sched_wakeup` and `sched_wakeup_new`
//! starts its wait. `sched_waking` comes first but knows no CPU; `sched_wakeup` adds it and hands
//! the wait to the burst detector.

use aya_ebpf::helpers::bpf_ktime_get_ns;

use agent_ebpf_common::{CPU_UNKNOWN, GENERATION_KERNEL, SLOT_UNTRACKED, TaskCell};

use crate::{burst, kernel, maps, wait};

#[inline(always)]
pub fn on_waking(task: u64) {
    let Some((cell, slot)) = wait::look_up(task, kernel::pid(task), maps::generation().0) else {
        return;
    };
    if slot != SLOT_UNTRACKED && cell.wait_start_ns == 0 {
        start(cell, task, CPU_UNKNOWN);
    }
}

#[inline(always)]
pub fn on_wakeup(task: u64) {
    let Some((cell, slot)) = wait::look_up(task, kernel::pid(task), maps::generation().0) else {
        return;
    };
    if slot == SLOT_UNTRACKED {
        return;
    }
    let cpu = kernel::cpu(task);
    if cell.wait_start_ns == 0 {
        start(cell, task, cpu);
    } else if cell.cpu != cpu {
        cell.cpu = cpu;
        cell.cfs_rq = kernel::cfs_rq(task);
        cell.throttle_base_ns = kernel::throttle_clock_ns(cell.cfs_rq);
    }
    burst::arm(cell, cpu);
}

/// A new task may carry the pid of a dead one, so nothing cached under it is believed.
#[inline(always)]
pub fn on_wakeup_new(task: u64) {
    let pid = kernel::pid(task);
    if let Some(cell) = wait::cell_of(pid) {
        if cell.pid == pid {
            *cell = TaskCell::default();
        }
    }
    on_wakeup(task);
}

/// Some task changed its cgroup: every cached slot is looked up again when it is next needed.
#[inline(always)]
pub fn on_cgroup_attach() {
    let Some(generation) = maps::GENERATION.get_ptr_mut(GENERATION_KERNEL) else { return };
    // SAFETY: the pointer is to a whole live map value; a torn pair only costs one more look-up.
    unsafe {
        (*generation).changed_ns = bpf_ktime_get_ns();
        maps::add(&raw mut (*generation).number, 1);
    }
}

#[inline(always)]
fn start(cell: &mut TaskCell, task: u64, cpu: u32) {
    // SAFETY: a plain helper call.
    let now = unsafe { bpf_ktime_get_ns() };
    wait::begin(cell, task, cpu, now);
}
