//! What we read from the kernel's own structures, at offsets that user space found in the running
//! kernel's BTF and patched in. A pointer that went stale under us gives zero and never a fault:
//! BTF-typed programs load directly and the kernel catches the fault; everything else goes through
//! `bpf_probe_read_kernel`, which costs some 15 ns a field.

use aya_ebpf::Global;
use aya_ebpf::helpers::bpf_probe_read_kernel;

use agent_ebpf_common::{NO_OFFSET, SLOT_UNTRACKED, THROTTLE_NONE, THROTTLE_PELT, THROTTLE_SELF};

use crate::maps;

macro_rules! offsets {
    ($($name:ident)*) => {
        $(#[unsafe(no_mangle)]
        static $name: Global<u32> = Global::new(NO_OFFSET);)*
    };
}

offsets! {
    OFF_TASK_PID OFF_TASK_CPU OFF_TASK_ON_RQ OFF_TASK_CGROUPS OFF_TASK_CFS_RQ OFF_TASK_DELAYED
    OFF_TASK_EXEC OFF_CSS_SET_CGROUP OFF_CGROUP_KN OFF_KN_ID OFF_CGROUP_PARENT
    OFF_CSS_CGROUP OFF_CFS_RQ_RQ OFF_CFS_THROTTLE_COUNT OFF_CFS_THROTTLE_START OFF_CFS_THROTTLE_TIME
    OFF_RQ_CLOCK OFF_RQ_LOST_IDLE
}

/// One of the `THROTTLE_*` constants.
#[unsafe(no_mangle)]
static THROTTLE_KIND: Global<u32> = Global::new(THROTTLE_NONE);

/// How a program may look at the structures behind its arguments.
pub trait Access {
    fn read<T: Copy + Default>(base: u64, offset: u32) -> T;
}

/// For BTF-typed programs: `base` is an argument, or was read from one.
pub struct Direct;

impl Access for Direct {
    #[inline(always)]
    fn read<T: Copy + Default>(base: u64, offset: u32) -> T {
        // SAFETY: the verifier lets this load pass only when `base` is a typed kernel pointer with
        // such a field, and then a fault reads zero.
        unsafe { core::ptr::read_volatile((base + u64::from(offset)) as *const T) }
    }
}

/// For raw tracepoints, and for pointers that were kept in a map.
pub struct Probed;

impl Access for Probed {
    #[inline(always)]
    fn read<T: Copy + Default>(base: u64, offset: u32) -> T {
        // SAFETY: bpf_probe_read_kernel checks the address itself and fails cleanly.
        unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.unwrap_or_default()
    }
}

#[inline(always)]
pub fn pid<A: Access>(task: u64) -> u32 {
    A::read(task, OFF_TASK_PID.load())
}

/// What the kernel has charged the task with; current when it is switched out. cpu.stat is a sum
/// of these.
#[inline(always)]
pub fn exec_ns<A: Access>(task: u64) -> u64 {
    A::read(task, OFF_TASK_EXEC.load())
}

#[inline(always)]
pub fn cpu<A: Access>(task: u64) -> u32 {
    A::read(task, OFF_TASK_CPU.load())
}

/// Whether a task that is being switched out still wants to run. A task that blocked under delayed
/// dequeue (6.12) stays on the run queue for a while without being runnable.
#[inline(always)]
pub fn is_runnable<A: Access>(task: u64) -> bool {
    if A::read::<u32>(task, OFF_TASK_ON_RQ.load()) == 0 {
        return false;
    }
    let delayed = OFF_TASK_DELAYED.load();
    delayed == NO_OFFSET || A::read::<u8>(task, delayed) == 0
}

/// How far above a task's cgroup its workload may be: kubelet, runtime and a nested container
/// engine together make five levels below the pod.
const MAX_DEPTH: usize = 8;

/// The slot of the nearest tracked cgroup at or above the task's own, by the long way. Looking
/// upwards makes a child cgroup count from its first task on, before user space has heard of it.
#[inline(always)]
pub fn slot(task: u64) -> u32 {
    let css_set: u64 = Probed::read(task, OFF_TASK_CGROUPS.load());
    let mut cgroup: u64 = Probed::read(css_set, OFF_CSS_SET_CGROUP.load());
    for _ in 0..MAX_DEPTH {
        let kn: u64 = Probed::read(cgroup, OFF_CGROUP_KN.load());
        let id: u64 = Probed::read(kn, OFF_KN_ID.load());
        // SAFETY: the value is copied at once; user space replaces it whole.
        if let Some(slot) = unsafe { maps::CGROUPS.get(id) } {
            return *slot;
        }
        let parent: u64 = Probed::read(cgroup, OFF_CGROUP_PARENT.load());
        if parent == 0 {
            break;
        }
        cgroup = Probed::read(parent, OFF_CSS_CGROUP.load());
    }
    SLOT_UNTRACKED
}

/// The run queue that the task's wait is counted on for throttling; 0 where the kernel keeps none.
#[inline(always)]
pub fn cfs_rq<A: Access>(task: u64) -> u64 {
    if THROTTLE_KIND.load() == THROTTLE_NONE { 0 } else { A::read(task, OFF_TASK_CFS_RQ.load()) }
}

/// How long `cfs_rq` or a group above it was ever throttled, a throttling in progress included.
#[inline(always)]
pub fn throttle_clock_ns<A: Access>(cfs_rq: u64) -> u64 {
    if THROTTLE_KIND.load() == THROTTLE_NONE {
        return 0;
    }
    let ended: u64 = A::read(cfs_rq, OFF_CFS_THROTTLE_TIME.load());
    match throttled_since::<A>(cfs_rq) {
        0 => ended,
        start => ended + clock_ns(cfs_rq).saturating_sub(start),
    }
}

/// Start of the throttling in progress on the kernel's clock; 0 when there is none.
#[inline(always)]
pub fn throttled_since<A: Access>(cfs_rq: u64) -> u64 {
    let kind = THROTTLE_KIND.load();
    if kind == THROTTLE_NONE {
        return 0;
    }
    if kind != THROTTLE_SELF && A::read::<u32>(cfs_rq, OFF_CFS_THROTTLE_COUNT.load()) == 0 {
        return 0;
    }
    A::read(cfs_rq, OFF_CFS_THROTTLE_START.load())
}

/// The clock that the throttle fields are kept in; it may lag by a tick on an idle CPU. Rare, so
/// it may be slow.
#[inline(always)]
fn clock_ns(cfs_rq: u64) -> u64 {
    let rq: u64 = Probed::read(cfs_rq, OFF_CFS_RQ_RQ.load());
    let clock: u64 = Probed::read(rq, OFF_RQ_CLOCK.load());
    if THROTTLE_KIND.load() == THROTTLE_PELT {
        clock.saturating_sub(Probed::read(rq, OFF_RQ_LOST_IDLE.load()))
    } else {
        clock
    }
}
