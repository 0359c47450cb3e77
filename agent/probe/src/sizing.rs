//! How large each BPF map is, so that all of them together fit a byte budget. Pure.

use agent_ebpf_common::{
    BurstRecord, CpuCell, Generation, N_SLOTS, OffenderRow, SlotSetting, SlotShards, TaskCell,
};
use model::Bytes;

/// Kernel memory that the maps may take unless the operator says otherwise.
pub const DEFAULT_MAP_BUDGET: Bytes = Bytes(32 << 20);

/// Entries per map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPlan {
    pub n_cpus: u32,
    /// Slots, the untracked one included.
    pub n_slots: u32,
    /// A power of two.
    pub n_tasks: u32,
    pub n_cgroups: u32,
    pub ring_bytes: u32,
}

/// Fewer slots than this track nothing useful.
const MIN_SLOTS: u32 = 16;
/// Tasks are told apart by this many low bits of their pid. Two runnable tasks that agree in 16
/// bits are rare, and then one wait is lost and counted.
const MAX_TASKS: u32 = 1 << 16;
const MIN_TASKS: u32 = 1 << 10;
/// 10k cgroups are a fault that must be lived with; descendants need no entry of their own.
const N_CGROUPS: u32 = 16384;
/// Room for 2600 records of 24 + 8 bytes: each slot sends one per burst gap.
const RING_BYTES: u32 = 1 << 16;
const PAGE: u64 = 4096;

impl MapPlan {
    /// The largest maps that fit, slots before task cells; `None` when not even the smallest do.
    pub fn fit(possible_cpus: u32, pid_max: u32, budget: Bytes) -> Option<MapPlan> {
        let n_cpus = possible_cpus.max(1);
        let most_tasks = pid_max.clamp(MIN_TASKS, MAX_TASKS).next_power_of_two();
        let mut plan = MapPlan {
            n_cpus,
            n_slots: N_SLOTS as u32,
            n_tasks: most_tasks,
            n_cgroups: N_CGROUPS,
            ring_bytes: RING_BYTES,
        };
        while plan.bytes() > budget {
            match plan {
                MapPlan { n_tasks, .. } if n_tasks > 8 * MIN_TASKS => plan.n_tasks /= 2,
                MapPlan { n_slots, .. } if n_slots > MIN_SLOTS => plan.n_slots /= 2,
                MapPlan { n_tasks, .. } if n_tasks > MIN_TASKS => plan.n_tasks /= 2,
                MapPlan { n_cgroups, .. } if n_cgroups > 1024 => plan.n_cgroups /= 2,
                _ => return None,
            }
        }
        Some(plan)
    }

    /// What the kernel charges for them.
    pub fn bytes(&self) -> Bytes {
        let slots = self.n_slots;
        let sum = array::<CpuCell>(self.n_cpus)
            + array::<SlotShards>(slots)
            + array::<OffenderRow>(slots)
            + array::<SlotSetting>(slots)
            + array::<u64>(slots)
            + array::<TaskCell>(self.n_tasks)
            + array::<Generation>(2)
            + self.hash_bytes()
            // two pages of positions and one of the kernel's own beside the data
            + u64::from(self.ring_bytes) + 3 * PAGE;
        Bytes(sum)
    }

    /// Elements of 48 + 8 + 8 bytes, one spare per CPU, and buckets of 16 bytes.
    fn hash_bytes(&self) -> u64 {
        let elements = u64::from(self.n_cgroups) + u64::from(self.n_cpus);
        let buckets = u64::from(self.n_cgroups).next_power_of_two();
        (elements * 64 + buckets * 16).next_multiple_of(PAGE)
    }
}

fn array<T>(n_entries: u32) -> u64 {
    let value = (size_of::<T>() as u64).next_multiple_of(8);
    // `struct bpf_array` heads the elements
    (u64::from(n_entries) * value + 512).next_multiple_of(PAGE)
}

const _: () = assert!(size_of::<BurstRecord>() == 32, "RING_BYTES is reckoned with this");

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(n_cpus: u32, pid_max: u32, budget_mib: u64, expect: Option<(u32, u32)>) {
        let budget = Bytes(budget_mib << 20);
        let plan = MapPlan::fit(n_cpus, pid_max, budget);
        assert_eq!(plan.map(|plan| (plan.n_slots, plan.n_tasks)), expect);
        if let Some(plan) = plan {
            assert!(plan.bytes() <= budget, "{} > {budget}", plan.bytes());
            assert!(plan.n_tasks.is_power_of_two());
        }
    }

    #[test]
    fn maps_fit_the_budget_on_small_and_large_machines() {
        check(1, 32768, 32, Some((1024, 32768)));
        check(2, 4_194_304, 32, Some((1024, 65536)));
        check(512, 4_194_304, 32, Some((1024, 65536)));
        check(8192, 4_194_304, 32, Some((1024, 65536)));
        check(2, 4_194_304, 8, Some((512, 8192)));
        check(2, 4_194_304, 2, Some((16, 8192)));
        check(2, 100, 32, Some((1024, 1024)));
        check(0, 0, 32, Some((1024, 1024)));
        check(2, 32768, 0, None);
        check(1_000_000, 32768, 32, None);
    }

    #[test]
    fn the_sum_is_the_sum_of_the_maps() {
        let plan = MapPlan { n_cpus: 1, n_slots: 1, n_tasks: 1, n_cgroups: 1, ring_bytes: 4096 };
        // cpus, slots, settings, burst_at, tasks, generation: a page each; the offender row three;
        // hash one; the ring four
        assert_eq!(plan.bytes(), Bytes((6 + 3 + 1 + 4) * PAGE));
    }
}
