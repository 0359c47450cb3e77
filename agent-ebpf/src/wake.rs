//! A task becomes runnable: the earliest of `sched_waking`, `sched_wakeup` and `sched_wakeup_new`
//! starts its wait. `sched_waking` comes first but knows neither CPU nor run queue; `sched_wakeup`
//! adds them and hands the wait to the burst detector.

use aya_ebpf::helpers::bpf_ktime_get_ns;

use agent_ebpf_common::{CPU_UNKNOWN, GENERATION_KERNEL, SLOT_UNTRACKED, TaskCell};

use crate::kernel::Access;
use crate::{burst, kernel, maps, wait};

#[inline(always)]
pub fn on_waking<A: Access>(task: u64) {
    let Some((cell, slot)) = wait::look_up(task, kernel::pid::<A>(task), maps::generation().0)
    else {
        return;
    };
    if slot != SLOT_UNTRACKED && cell.wait_start_ns == 0 {
        // SAFETY: a plain helper call.
        cell.wait_start_ns = unsafe { bpf_ktime_get_ns() };
        cell.cpu = CPU_UNKNOWN;
    }
}

#[inline(always)]
pub fn on_wakeup<A: Access>(task: u64) {
    let Some((cell, slot)) = wait::look_up(task, kernel::pid::<A>(task), maps::generation().0)
    else {
        return;
    };
    if slot == SLOT_UNTRACKED {
        return;
    }
    let cpu = kernel::cpu::<A>(task);
    if cell.wait_start_ns == 0 {
        // SAFETY: a plain helper call.
        cell.wait_start_ns = unsafe { bpf_ktime_get_ns() };
        wait::queue::<A>(cell, kernel::cfs_rq::<A>(task), cpu);
    } else if cell.cpu != cpu {
        wait::queue::<A>(cell, kernel::cfs_rq::<A>(task), cpu);
    }
    burst::arm(cell, cpu);
}

/// A new task may carry the pid of a dead one, so nothing cached under it is believed.
#[inline(always)]
pub fn on_wakeup_new<A: Access>(task: u64) {
    let pid = kernel::pid::<A>(task);
    if let Some(cell) = wait::cell_of(pid)
        && cell.pid == pid
    {
        *cell = TaskCell::default();
    }
    on_wakeup::<A>(task);
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
