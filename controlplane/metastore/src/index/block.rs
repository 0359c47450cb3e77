//! Owns a run of keys with one item each, cut and joined as trees need it: what a leaf (items are values) and a branch (items are
//! children) have in common. Knows nothing of levels and of how full a node may be.

use super::Weigh;
use super::keys::Keys;

/// Room made at once for new items. More would lie unused in most nodes, less would move the items more often.
const ROOM_STEP: usize = 4;

/// Keys in ascending order, with an item for each.
#[derive(Clone)]
pub(super) struct Block<T> {
    pub(super) keys: Keys,
    pub(super) items: Vec<T>,
}

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self { keys: Keys::default(), items: Vec::new() }
    }
}

impl<T> Block<T> {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn insert(&mut self, slot: usize, key: &[u8], item: T) {
        self.keys.insert(slot, key);
        if self.items.len() == self.items.capacity() {
            self.items.reserve_exact(ROOM_STEP);
        }
        self.items.insert(slot, item);
    }

    pub(super) fn remove(&mut self, slot: usize) -> T {
        self.keys.remove(slot);
        self.items.remove(slot)
    }

    /// Keeps what is before `slot` and gives back the rest.
    pub(super) fn split_off(&mut self, slot: usize) -> Self {
        let right = Self { keys: self.keys.split_off(slot), items: self.items.split_off(slot) };
        self.items.shrink_to(slot + ROOM_STEP);
        right
    }

    /// Puts `right` behind; its keys are all greater.
    pub(super) fn append(&mut self, right: Self) {
        self.keys.append(&right.keys);
        self.items.reserve_exact(right.items.len());
        self.items.extend(right.items);
    }

    /// The first slot whose key is not below `key`.
    pub(super) fn lower_bound(&self, key: &[u8]) -> usize {
        self.keys.find(key).unwrap_or_else(|slot| slot)
    }

    /// In a branch, the slot of the child that `key` belongs to. The first child takes what is below its own key too.
    pub(super) fn child_slot(&self, key: &[u8]) -> usize {
        self.keys.find(key).unwrap_or_else(|slot| slot.saturating_sub(1))
    }
}

impl<T: Weigh> Block<T> {
    pub(super) fn weight(&self) -> u64 {
        self.weight_before(self.len())
    }

    pub(super) fn weight_before(&self, slot: usize) -> u64 {
        self.items[..slot].iter().map(Weigh::weight).sum()
    }
}
