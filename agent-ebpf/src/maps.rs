//! The maps, and adding to counters in them. Sizes that depend on the machine are set by user
//! space before loading; the ones here are the smallest that load.

use core::arch::asm;

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, RingBuf};

use agent_ebpf_common::{
    BurstRecord, CpuCell, GENERATION_KERNEL, GENERATION_USER, Generation, N_SHARDS, N_SLOTS,
    OffenderRow, SlotCell, SlotSetting, SlotShards, TaskCell,
};

#[map]
pub static CGROUPS: HashMap<u64, u32> = HashMap::with_max_entries(1024, 0);
#[map]
pub static TASKS: Array<TaskCell> = Array::with_max_entries(1024, 0);
#[map]
pub static CPUS: Array<CpuCell> = Array::with_max_entries(1, 0);
#[map]
pub static SLOTS: Array<SlotShards> = Array::with_max_entries(1, 0);
#[map]
pub static OFFENDERS: Array<OffenderRow> = Array::with_max_entries(1, 0);
#[map]
pub static SETTINGS: Array<SlotSetting> = Array::with_max_entries(N_SLOTS as u32, 0);
#[map]
pub static BURST_AT: Array<u64> = Array::with_max_entries(N_SLOTS as u32, 0);
#[map]
pub static GENERATION: Array<Generation> = Array::with_max_entries(2, 0);
#[map]
pub static BURSTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Adds to a counter that several CPUs may share.
///
/// # Safety
/// `counter` is the address of an aligned u64 inside a live map value.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, more: u64) {
    // Rust offers no atomics on BPF, so the instruction is written out.
    // SAFETY: the caller's promise; the verifier checks it again.
    unsafe {
        asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) more, options(nostack));
    }
}

/// Stores and returns what was there.
///
/// # Safety
/// As `add`.
#[inline(always)]
unsafe fn exchange(word: *mut u64, value: u64) -> u64 {
    let mut value = value;
    // SAFETY: as `add`.
    unsafe {
        asm!("{1} = xchg_64({0} + 0, {1})", in(reg) word, inout(reg) value, options(nostack));
    }
    value
}

/// The counters of `slot` that this CPU adds to.
#[inline(always)]
pub fn slot_cell(slot: u32, cpu: u32) -> Option<*mut SlotCell> {
    let shards = SLOTS.get_ptr_mut(slot)?;
    let shard = cpu as usize & (N_SHARDS - 1);
    // SAFETY: the map value is a whole `SlotShards` and `shard` is inside its array.
    Some(unsafe { &raw mut (*shards).shards[shard] })
}

/// The number that a cached slot must carry to be believed, and when it last changed.
#[inline(always)]
pub fn generation() -> (u32, u64) {
    let user = GENERATION.get(GENERATION_USER).copied().unwrap_or_default();
    let kernel = GENERATION.get(GENERATION_KERNEL).copied().unwrap_or_default();
    let changed_ns =
        if user.changed_ns > kernel.changed_ns { user.changed_ns } else { kernel.changed_ns };
    (user.number.wrapping_add(kernel.number) as u32, changed_ns)
}

/// Pushes a record; false when the ring is full.
#[inline(always)]
pub fn push_burst(record: &BurstRecord) -> bool {
    BURSTS.output::<BurstRecord>(record, 0).is_ok()
}

/// Takes the right to report a burst of `slot`, at most once per `gap_ns` on the whole machine.
#[inline(always)]
pub fn claim_burst(slot: u32, now: u64, gap_ns: u64) -> bool {
    let Some(last) = BURST_AT.get_ptr_mut(slot) else { return false };
    // SAFETY: `last` points to an aligned u64 in a live map value. Of two CPUs that both find the
    // gap over, the second gets the first one's `now` back and gives up.
    unsafe {
        now.saturating_sub(*last) >= gap_ns && now.saturating_sub(exchange(last, now)) >= gap_ns
    }
}
