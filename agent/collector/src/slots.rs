//! Dense slots for tracked workloads. Pure; the probe is told by `workloads`.

use std::collections::{BTreeMap, BTreeSet};

use model::{CgroupId, SlotId};

/// Which workload cgroup has which slot. Slot 0 is "untracked".
#[derive(Clone, Debug)]
pub struct Slots {
    by_cgroup: BTreeMap<CgroupId, SlotId>,
    free: BTreeSet<SlotId>,
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
        match self.free.pop_first() {
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
            self.free.insert(*slot);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
