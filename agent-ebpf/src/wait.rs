//! The life of one wait: its cell, its begin, and at its end where the waited time went.

use agent_ebpf_common::{
    CPU_UNKNOWN, N_SEGMENTS, N_SLOTS, SLOT_IDLE, SLOT_UNTRACKED, TaskCell, bucket_of,
};
use aya_ebpf::Global;

use crate::kernel::Access;
use crate::{kernel, maps};

/// Cells in `TASKS` minus one; a power of two minus one.
#[unsafe(no_mangle)]
static TASK_MASK: Global<u32> = Global::new(1023);
/// 0 where moves between cgroups cannot be seen, so that no slot may be cached.
#[unsafe(no_mangle)]
static CACHE_SLOTS: Global<u32> = Global::new(0);

#[inline(always)]
pub fn cell_of(pid: u32) -> Option<&'static mut TaskCell> {
    // SAFETY: a map value lives as long as the program; BPF programs race on it by design and each
    // field is a whole word.
    maps::TASKS.get_ptr_mut(pid & TASK_MASK.load()).map(|cell| unsafe { &mut *cell })
}

/// The cell and slot of a task. `None` when another task waits in its cell and this one is not
/// worth evicting it for (untracked).
#[inline(always)]
pub fn look_up(task: u64, pid: u32, generation: u32) -> Option<(&'static mut TaskCell, u32)> {
    let cell = cell_of(pid)?;
    if cell.pid == pid && cell.generation == generation && CACHE_SLOTS.load() != 0 {
        let slot = cell.slot;
        return Some((cell, slot));
    }
    let slot = kernel::slot(task);
    if cell.pid == pid {
        // A wait under another slot must not be charged to this one.
        if cell.slot != slot {
            cell.wait_start_ns = 0;
        }
    } else {
        if slot == SLOT_UNTRACKED && cell.wait_start_ns != 0 {
            return None;
        }
        if cell.wait_start_ns != 0 {
            maps::count_lost_stamp();
        }
        cell.wait_start_ns = 0;
        cell.pid = pid;
    }
    cell.slot = slot;
    cell.generation = generation;
    Some((cell, slot))
}

/// The wait goes on in the queue of `cpu`; what was throttled before is not the wait's.
#[inline(always)]
pub fn queue<A: Access>(cell: &mut TaskCell, cfs_rq: u64, cpu: u32) {
    cell.cpu = cpu;
    cell.throttle_base_ns = kernel::throttle_clock_ns::<A>(cfs_rq);
    cell.cfs_rq = cfs_rq;
}

/// How much of the wait so far was the victim's own `cpu.max`.
#[inline(always)]
pub fn throttled_ns<A: Access>(cell: &TaskCell, cfs_rq: u64, wait_ns: u64) -> u64 {
    if cell.cfs_rq == 0 || cell.cpu == CPU_UNKNOWN {
        return 0;
    }
    let throttled = kernel::throttle_clock_ns::<A>(cfs_rq).saturating_sub(cell.throttle_base_ns);
    if throttled < wait_ns { throttled } else { wait_ns }
}

/// Counts a wait for `waited_on` that just ended on `cpu`. Throttling is taken to come first: a throttled task
/// waits for its quota, then for the CPU.
#[inline(always)]
pub fn count(cell: &TaskCell, cpu: u32, waited_on: u32, now: u64, throttled_ns: u64) -> Option<()> {
    let wait_ns = now.saturating_sub(cell.wait_start_ns);
    let contended_ns = wait_ns - throttled_ns;
    let counters = maps::slot_cell(cell.slot, cpu)?;
    // SAFETY: `counters` points to a whole live map value.
    unsafe {
        if contended_ns != 0 || throttled_ns == 0 {
            maps::add(&raw mut (*counters).waits[bucket_of(contended_ns)], 1);
        }
        maps::add(&raw mut (*counters).waited_ns, wait_ns);
        if throttled_ns != 0 {
            maps::add(&raw mut (*counters).own_throttle_ns, throttled_ns);
        }
    }
    attribute_wait(cell.slot, waited_on, cell.wait_start_ns + throttled_ns, now);
    Some(())
}

/// Walks back over the last segments of the CPU that was waited for (not the one the task ended
/// up on) and charges each for its part of `[from, to)`.
///
/// A function of scalars that is not inlined, because the verifier then looks at it once and not
/// once per path that leads here.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn attribute_wait(victim: u32, cpu: u32, from: u64, to: u64) -> u32 {
    let Some(queue) = maps::CPUS.get(cpu) else { return 0 };
    let Some(row) = maps::OFFENDERS.get_ptr_mut(victim) else { return 0 };
    let Some(counters) = maps::slot_cell(victim, cpu) else { return 0 };
    let head = queue.head;
    let mut end = to;
    for back in 1..=N_SEGMENTS as u32 {
        if end <= from {
            break;
        }
        let segment = queue.segments[head.wrapping_sub(back) as usize & (N_SEGMENTS - 1)];
        if segment.start_ns == 0 {
            break;
        }
        let begin = if segment.start_ns > from { segment.start_ns } else { from };
        if begin >= end {
            continue;
        }
        let part = end - begin;
        end = begin;
        let slot = segment.slot as u32;
        // SAFETY: `counters` and `row` point to whole live map values; the index is checked.
        unsafe {
            let counter = if slot == SLOT_IDLE {
                &raw mut (*counters).idle_ns
            } else if slot == SLOT_UNTRACKED {
                &raw mut (*counters).untracked_ns
            } else if slot == victim {
                &raw mut (*counters).own_group_ns
            } else if (slot as usize) < N_SLOTS {
                &raw mut (*row).waited_for_ns[slot as usize]
            } else {
                &raw mut (*counters).unknown_ns
            };
            maps::add(counter, part);
        }
    }
    if end > from {
        // SAFETY: as above.
        unsafe { maps::add(&raw mut (*counters).unknown_ns, end - from) };
    }
    0
}

/// For a first guess at who is to blame the newest segments do.
const MAX_LOOK_BACK: u32 = 16;

/// The tracked slot other than the victim that held the CPU longest in one piece in `[from, to)`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn main_offender(victim: u32, cpu: u32, from: u64, to: u64) -> u32 {
    let Some(queue) = maps::CPUS.get(cpu) else { return SLOT_UNTRACKED };
    let head = queue.head;
    let mut end = to;
    let mut longest_ns = 0;
    let mut offender = SLOT_UNTRACKED;
    for back in 1..=MAX_LOOK_BACK {
        let segment = queue.segments[head.wrapping_sub(back) as usize & (N_SEGMENTS - 1)];
        if segment.start_ns == 0 || end <= from {
            break;
        }
        let begin = if segment.start_ns > from { segment.start_ns } else { from };
        let part = end.saturating_sub(begin);
        end = begin;
        let slot = segment.slot as u32;
        let named = slot != SLOT_IDLE && slot != SLOT_UNTRACKED && slot != victim;
        if named && part > longest_ns {
            longest_ns = part;
            offender = slot;
        }
    }
    offender
}
