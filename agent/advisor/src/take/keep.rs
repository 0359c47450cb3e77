//! Taking with a memory: CPUs that were held before stay, so that a pool that grows or shrinks by one
//! CPU moves one CPU.

use model::CpuSet;

use super::{End, balanced};
use crate::layout::Layout;

/// `n` of the free CPUs (all where there are fewer): those held before, then threads of cores that
/// are held in part, then balanced over nodes. Of more than `n` held ones, whole cores stay first.
///
/// Worked example: cores {0,4} {1,5}, held 0, `n` 2: 0 and its sibling 4, not 0 and 1.
pub fn keeping(layout: &Layout, free: &CpuSet, held: &CpuSet, n: usize, end: End) -> CpuSet {
    let free = free.intersection(&layout.online);
    let held = held.intersection(&free);
    let n_held = held.len();
    if n_held >= n {
        return balanced(layout, &held, n, end).unwrap_or(held);
    }
    let mut taken = held;
    let mut missing = n.min(free.len()) - n_held;
    if !held.is_empty() {
        let partners = partners(layout, &free, &held);
        let n_partners = missing.min(partners.len());
        taken = taken.union(&balanced(layout, &partners, n_partners, end).unwrap_or_default());
        missing -= n_partners;
    }
    let rest = free.difference(&taken);
    taken.union(&balanced(layout, &rest, missing, end).unwrap_or_default())
}

/// Free threads of cores of which some thread is held.
fn partners(layout: &Layout, free: &CpuSet, held: &CpuSet) -> CpuSet {
    let is_held = |core: &&crate::layout::Core| core.threads.iter().any(|cpu| held.contains(*cpu));
    let cores = layout.cores.iter().filter(is_held);
    let threads = cores.flat_map(|core| core.threads.iter().copied());
    threads.filter(|cpu| free.contains(*cpu) && !held.contains(*cpu)).collect()
}
