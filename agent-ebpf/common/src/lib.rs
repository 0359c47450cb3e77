//! What the BPF object and `agent/probe` must agree on: sizes, map names and the `#[repr(C)]`
//! records that lie in the maps. No logic beyond index arithmetic; nobody else uses this crate.
#![no_std]

/// Buckets of the wait histogram; the same as `model::histogram::N_BUCKETS` (a test in `probe`).
pub const N_BUCKETS: usize = 40;
/// Slots there are at most, so the width of an offender row. 1024 workloads on one node are twice
/// what a kubelet allows; a row is then 8 KiB.
pub const N_SLOTS: usize = 1024;
/// Tasks of no tracked cgroup.
pub const SLOT_UNTRACKED: u32 = 0;
/// The idle task; never an index into a map.
pub const SLOT_IDLE: u32 = 0xffff;
/// Run segments remembered per CPU; a power of two. A wait that spans more is partly `unknown`:
/// with 16 up to 14 % of a wait beside three hogs had no name in a busy 6.12 guest, with 32 it
/// stays below 5 %. The verifier follows walks over 32 of them, but not over 64.
pub const N_SEGMENTS: usize = 32;
/// Copies of each slot's counters: CPUs with the same number modulo this share one, so that
/// counting does not bounce one cache line through the whole machine.
pub const N_SHARDS: usize = 8;
/// Waits in progress that are watched per CPU for the burst detector; a power of two.
pub const N_PENDING: usize = 4;
/// A wait whose CPU is not known yet (`sched_waking` comes before the CPU is chosen).
pub const CPU_UNKNOWN: u32 = 0xffff;
/// An offset that the running kernel does not have.
pub const NO_OFFSET: u32 = u32::MAX;

/// Indices into the `GENERATION` map: user space counts its changes, BPF its own, so that neither
/// overwrites the other.
pub const GENERATION_USER: u32 = 0;
pub const GENERATION_KERNEL: u32 = 1;

/// How the kernel keeps the time a cfs_rq was throttled (`Offsets` are of the matching fields).
pub const THROTTLE_NONE: u32 = 0;
/// `throttled_clock_self` (since 6.6): the start is zero when not throttled, the clock `rq.clock`.
pub const THROTTLE_SELF: u32 = 1;
/// `throttled_clock_pelt` (5.19..): `throttle_count` tells, the clock is
/// `rq.clock_pelt - rq.lost_idle_time`.
pub const THROTTLE_PELT: u32 = 2;
/// `throttled_clock_task` (..5.18): `throttle_count` tells, the clock is `rq.clock_task`.
pub const THROTTLE_TASK: u32 = 3;

/// One task, in a direct-mapped table by pid. A zeroed cell is nobody's (pid 0 is the idle task).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCell {
    /// Since when it is runnable and not running; 0 = it is not.
    pub wait_start_ns: u64,
    /// The throttle clock of `cfs_rq` at `wait_start_ns`.
    pub throttle_base_ns: u64,
    /// Kernel address of the run queue it waits in, for the throttle clock.
    pub cfs_rq: u64,
    pub pid: u32,
    /// Generation in which `slot` was looked up.
    pub generation: u32,
    pub slot: u32,
    pub cpu: u32,
}

/// From `start_ns` until the next segment's start this slot ran on the CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    pub start_ns: u64,
    pub slot: u64,
}

/// A wait in progress that the burst detector watches; `wait_start_ns` 0 = free.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    pub wait_start_ns: u64,
    pub pid: u32,
    pub slot: u32,
}

/// One CPU. Written by its own CPU, except `pending` and `next_check_ns` (the waker's CPU).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuCell {
    /// When the running task was switched in; 0 before the first switch was seen.
    pub run_start_ns: u64,
    /// What the kernel had charged the running task with by then; it leaves interrupts out.
    pub run_start_exec_ns: u64,
    pub slot: u32,
    pub pid: u32,
    /// Generation in which `slot` was looked up.
    pub generation: u32,
    /// Segments ever pushed; the newest is at `(head - 1) % N_SEGMENTS`.
    pub head: u32,
    pub events: u64,
    pub lost_records: u64,
    /// Stamps of another task that a stamp overwrote (direct-mapped table).
    pub lost_stamps: u64,
    /// When a pending wait may have passed its threshold; 0 = none pending.
    pub next_check_ns: u64,
    pub peer_checked_ns: u64,
    pub peer: u64,
    pub pending: [Pending; N_PENDING],
    pub segments: [Segment; N_SEGMENTS],
    pub _pad: [u64; 6],
}

/// One shard of one slot's counters, cumulative nanoseconds and counts.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotCell {
    pub waits: [u64; N_BUCKETS],
    pub on_cpu_ns: u64,
    pub waited_ns: u64,
    pub own_throttle_ns: u64,
    pub own_group_ns: u64,
    pub idle_ns: u64,
    pub untracked_ns: u64,
    pub unknown_ns: u64,
    pub _pad: u64,
}

/// All shards of one slot: the value of the `SLOTS` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotShards {
    pub shards: [SlotCell; N_SHARDS],
}

/// Nanoseconds that each slot kept one victim waiting: the value of the `OFFENDERS` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffenderRow {
    pub waited_for_ns: [u64; N_SLOTS],
}

/// What user space says about a slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotSetting {
    /// A wait longer than this is a burst; 0 = not watched.
    pub threshold_ns: u64,
    /// At most one record in this time.
    pub burst_gap_ns: u64,
}

/// Bumped whenever a cached slot may be wrong.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    pub number: u64,
    pub changed_ns: u64,
}

/// A ring-buffer record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BurstRecord {
    /// When the wait passed the threshold.
    pub first_wait_ns: u64,
    /// How long it had lasted when it was noticed.
    pub wait_ns: u64,
    pub victim: u32,
    pub offender: u32,
    pub cpu: u32,
    pub _pad: u32,
}

pub const MAP_CGROUPS: &str = "CGROUPS";
pub const MAP_TASKS: &str = "TASKS";
pub const MAP_CPUS: &str = "CPUS";
pub const MAP_SLOTS: &str = "SLOTS";
pub const MAP_OFFENDERS: &str = "OFFENDERS";
pub const MAP_SETTINGS: &str = "SETTINGS";
pub const MAP_BURST_AT: &str = "BURST_AT";
pub const MAP_GENERATION: &str = "GENERATION";
pub const MAP_BURSTS: &str = "BURSTS";

/// The histogram bucket of a wait: `[2^i, 2^(i+1))` nanoseconds, the last one open.
#[inline(always)]
pub const fn bucket_of(wait_ns: u64) -> usize {
    // A cascade of compares: BPF has no instruction that counts leading zeros.
    let mut value = wait_ns;
    let mut log2 = 0;
    if value >= 1 << 32 {
        value >>= 32;
        log2 += 32;
    }
    if value >= 1 << 16 {
        value >>= 16;
        log2 += 16;
    }
    if value >= 1 << 8 {
        value >>= 8;
        log2 += 8;
    }
    if value >= 1 << 4 {
        value >>= 4;
        log2 += 4;
    }
    if value >= 1 << 2 {
        value >>= 2;
        log2 += 2;
    }
    if value >= 1 << 1 {
        log2 += 1;
    }
    if log2 < N_BUCKETS { log2 } else { N_BUCKETS - 1 }
}
