//! Dense slots for tracked workloads. Pure; the probe is told by `workloads`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{CgroupId, SlotId};

/// Which workload cgroup has which slot. Slot 0 is "untracked".
#[derive(Clone, Debug)]
pub struct Slots {
    by_cgroup: BTreeMap<CgroupId, SlotId>,
    /// Given out first in, first out: BPF may still count for a slot for about a second after it
    /// was freed.
    free: VecDeque<SlotId>,
}

impl Slots {
    /// Slots `1..n_slots`.
    pub fn new(n_slots: u16) -> Slots {
        Slots { by_cgroup: BTreeMap::new(), free: (1..n_slots).map(SlotId).collect() }
    }

    /// The slot of a cgroup, given out if it is new; `UNTRACKED` when none is left.
    pub fn assign(&mut self, cgroup: CgroupId) -> (SlotId, bool) {
        if let Some(slot) = self.by_cgroup.get(&cgroup) {
            return (*slot, false);
        }
        match self.free.pop_front() {
            Some(slot) => {
                self.by_cgroup.insert(cgroup, slot);
                (slot, true)
            }
            None => (SlotId::UNTRACKED, false),
        }
    }

    /// Takes back the slots of cgroups that are gone and names them.
    pub fn release_missing(&mut self, alive: &BTreeSet<CgroupId>) -> Vec<(CgroupId, SlotId)> {
        let gone: Vec<(CgroupId, SlotId)> = self
            .by_cgroup
            .iter()
            .filter(|(cgroup, _)| !alive.contains(cgroup))
            .map(|(cgroup, slot)| (*cgroup, *slot))
            .collect();
        for (cgroup, slot) in &gone {
            self.by_cgroup.remove(cgroup);
            self.free.push_back(*slot);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_is_the_last_to_be_given_out_again() {
        let mut slots = Slots::new(4);
        assert_eq!(slots.assign(CgroupId(10)).0, SlotId(1));
        slots.release_missing(&BTreeSet::new());
        let given: Vec<SlotId> = (20..23).map(|id| slots.assign(CgroupId(id)).0).collect();
        assert_eq!(given, [SlotId(2), SlotId(3), SlotId(1)]);
    }

    #[test]
    fn slots_are_dense_stable_reused_and_bounded() {
        let mut slots = Slots::new(3);
        assert_eq!(slots.assign(CgroupId(10)), (SlotId(1), true));
        assert_eq!(slots.assign(CgroupId(11)), (SlotId(2), true));
        assert_eq!(slots.assign(CgroupId(10)), (SlotId(1), false));
        assert_eq!(slots.assign(CgroupId(12)), (SlotId::UNTRACKED, false));
        let gone = slots.release_missing(&BTreeSet::from([CgroupId(11)]));
        assert_eq!(gone, [(CgroupId(10), SlotId(1))]);
        assert_eq!(slots.assign(CgroupId(12)), (SlotId(1), true));
    }
}
