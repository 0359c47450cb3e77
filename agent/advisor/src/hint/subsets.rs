//! Walking the sets of nodes of one size, in the order of their ids. Owns the order and the bound on
//! the work; what a set is good for is the caller's.

use model::{NumaNodeId, NumaSet};

/// Sets that one call looks at: all of 16 nodes.
pub(super) const MOST: usize = 1 << 16;

/// One node in a walk: what it adds to a sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) id: NumaNodeId,
    pub(super) avail: usize,
}

/// Calls `visit` with every set of `size` items whose sum reaches `least`, until `budget` sets were
/// looked at.
pub(super) fn of_size(
    items: &[Item],
    size: usize,
    least: usize,
    budget: &mut usize,
    visit: &mut dyn FnMut(NumaSet),
) {
    let most = items.iter().map(|item| item.avail).max().unwrap_or(0);
    let mut walk = Walk { items, least, most, budget, visit };
    walk.step(0, size, 0, NumaSet::EMPTY);
}

struct Walk<'a> {
    items: &'a [Item],
    least: usize,
    /// The most one item adds.
    most: usize,
    budget: &'a mut usize,
    visit: &'a mut dyn FnMut(NumaSet),
}

impl Walk<'_> {
    fn step(&mut self, from: usize, missing: usize, sum: usize, set: NumaSet) {
        if missing == 0 {
            *self.budget = self.budget.saturating_sub(1);
            if sum >= self.least {
                (self.visit)(set);
            }
            return;
        }
        let last = self.items.len().saturating_sub(missing);
        for idx in from..=last {
            let Some(item) = self.items.get(idx) else { return };
            let sum = sum.saturating_add(item.avail);
            // Even the best of the others would not be enough.
            if sum.saturating_add((missing - 1).saturating_mul(self.most)) < self.least {
                continue;
            }
            if *self.budget == 0 {
                return;
            }
            self.step(idx + 1, missing - 1, sum, set.union(NumaSet::single(item.id)));
        }
    }
}
