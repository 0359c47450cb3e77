//! Which CPUs, when it is known how many and from which free ones.
//!
//! # Problem
//! A pod with CPUs of its own should share no core, cache or socket with others where that can be
//! had, and the answer must be the same whenever it is asked again.
//!
//! # Units
//! Logical CPUs.
//!
//! # Approach
//! `by_topology` packs: whole free sockets while they fit; with cache alignment whole last-level
//! caches (the one that fits exactly, else the smallest that is large enough, else the largest that
//! is too small and again); whole free cores, from the socket with the fewest free CPUs; single
//! threads in the same order. This is the order of kubelet's static CPU manager
//! (pkg/kubelet/cm/cpumanager/cpu_assignment.go) with Katalyst's cache step.
//! `balanced` spreads: one whole core of each NUMA node in turn, then one thread of each.
//! `threads_balanced` takes threads only. `End::High` takes from the highest ids, so that two pools
//! that grow towards each other move few CPUs.
//! On a hybrid machine packing takes performance cores, then efficiency cores, and mixes them only
//! when neither kind has enough; `End::High` prefers efficiency cores.
//! All ties are broken by id.
//!
//! # Worked example
//! Nodes {0,1,4,5} and {2,3,6,7} of two-thread cores (0,4)(1,5)(2,6)(3,7), free 1-7. `by_topology`
//! of 3 with one socket: no socket fits; whole free cores are 1,5 and 2,6 and 3,7, so 1,5; one thread
//! is left and core (0,4) has the fewest free, so 4. `balanced` of 3: core 1,5 of the first node, no
//! second core fits, so thread 4 of the first node.
//!
//! # Limits
//! No look-ahead: taking greedily may split a core where another order would not. Distances between
//! nodes play no part, hints choose the nodes.

mod balance;
mod keep;
mod pack;

use model::CpuSet;

use crate::layout::Layout;

pub use balance::{balanced, threads_balanced};
pub use keep::keeping;
pub use pack::by_topology;

/// From which end ids are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Low,
    High,
}

/// Whether last-level caches are kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    Align,
    Ignore,
}

/// There are not so many free CPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} CPUs are asked for and {n_free} are free: {free}")]
pub struct TooFew {
    pub asked: usize,
    pub n_free: usize,
    pub free: Box<CpuSet>,
}

fn check(free: &CpuSet, asked: usize) -> Result<(), TooFew> {
    let n_free = free.len();
    if asked > n_free { Err(TooFew { asked, n_free, free: Box::new(*free) }) } else { Ok(()) }
}

/// Splits the free CPUs by kind of core, and takes from the first kind that has enough.
fn by_kind(
    layout: &Layout,
    free: &CpuSet,
    n: usize,
    end: End,
    take: impl Fn(&CpuSet, usize) -> CpuSet,
) -> CpuSet {
    if layout.efficiency.is_disjoint(free) {
        return take(free, n);
    }
    let slow = free.intersection(&layout.efficiency);
    let fast = free.difference(&slow);
    let (first, second) = if end == End::High { (slow, fast) } else { (fast, slow) };
    if first.len() >= n {
        return take(&first, n);
    }
    if second.len() >= n {
        return take(&second, n);
    }
    first.union(&take(&second, n - first.len()))
}

#[cfg(test)]
mod tests;
