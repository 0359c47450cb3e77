//! Which CPUs every pool has: a function of the machine, the policy and the residents.
//!
//! # Problem
//! Shared pods of one name run in one pool, reclaimed ones in what is left, and no pool with a pod in
//! it may ever be empty. The answer must not depend on how the residents came to be: a restart, or a
//! pod that came and went, changes nothing.
//!
//! # Units
//! Requests in thousandths of a CPU, pools in whole CPUs.
//!
//! # Approach
//! 1. Reserve, interrupt and dedicated CPUs are out; the rest is free.
//! 2. Each NUMA node with a bound share pool is a region of its own; the free CPUs of nodes without a
//!    bound pod are one more, for pools without binding.
//! 3. In a region each pool gets its requests, or what provision measured, rounded up
//!    (`size::assemble`); where they do not fit, a proportional part. Isolated pods get their limit
//!    where it fits. With overlap, or with reclaim off, share pools grow into the rest.
//! 4. CPUs are taken balanced over nodes from the lowest ids, pools in the order of their names.
//! 5. Reclaim gets what is left; with overlap also, from the highest ids, the part of each pool that
//!    is not asked for. It never has fewer CPUs than its reserve: the missing ones are lent by share
//!    pools, then by the system's reserve, and by dedicated pods only when there is nothing else.
//! 6. CPUs that a pool had before stay with it as long as it wants so many (`Held`), and reclaim grows
//!    no further than it may.
//! 7. As long as no pod is confined to a pool and none owns CPUs, nothing is known that a size could
//!    follow, and reclaim has its reserve: one thread of each node in turn.
//!
//! # Worked example
//! Nodes {0,1,8,9} {2,3,10,11} {4,5,12,13} {6,7,14,15}, reserve 0 and 2, reclaim reserve 4. Empty:
//! reclaim is 1,3,4,6. A shared pod of 2500 mCPU past its ramp-up: share is 3 CPUs, core 1,9 of the
//! first node, then (no whole core fits in the one CPU that is left) its thread 8, and reclaim the
//! other 11. With overlap share is all 14 and reclaim 14 - 2 = 12 of them, whole cores first.
//!
//! # Limits
//! What a pool needs comes from outside, from requests or from `provision`.

mod owners;
mod region;
mod size;

use std::collections::BTreeMap;

use model::placement::{PlacementPolicy, ReclaimReserve};
use model::plan::PoolPlan;
use model::qos::PoolName;
use model::{CpuSet, MilliCpu, NumaNodeId};

use crate::layout::Layout;
use crate::take::{self, End};
use crate::tally::Tally;

pub use owners::{Placement, mems_of, placement};
pub use size::{OverlapError, Space, Want, assemble, overlap_sizes, regulate};

/// Every pool by name. Pools without a CPU are not listed.
pub type Pools = BTreeMap<PoolName, PoolPlan>;

/// The reclaim pool has four CPUs (or one per node, where there are more) if nothing else is said:
/// Katalyst's reservedReclaimedCPUs.
const RECLAIM_RESERVE: usize = 4;

/// What was so far, and how fast it may change. At a desk nothing is held: the answer then depends
/// on nothing but the residents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held<'a> {
    pub pools: Option<&'a Pools>,
    /// The reclaim pool may have so many CPUs; `None`: any number.
    pub max_reclaim: Option<usize>,
}

impl Held<'_> {
    fn cpus(&self, name: &str) -> CpuSet {
        self.pools.and_then(|pools| pools.get(name)).map_or(CpuSet::EMPTY, |pool| pool.cpus)
    }
}

/// All pools of a node.
pub fn pools(layout: &Layout, policy: &PlacementPolicy, tally: &Tally, held: &Held<'_>) -> Pools {
    let keep = reclaim_reserve(layout, policy, tally);
    let mut pools = Pools::new();
    let mut left = tally.free;
    let mut lendable = CpuSet::EMPTY;
    for region in region::regions(layout, tally) {
        let cut = region::cut(layout, policy, &region, (&keep, held));
        left = left.difference(&region.cpus).union(&cut.left);
        lendable = lendable.union(&cut.unasked);
        for (name, pool) in cut.pools {
            pools.insert(name, pool);
        }
    }
    let reclaim = match tally.is_settled {
        true => left.union(&lendable).union(&tally.lent.intersection(&layout.online)),
        false => keep,
    };
    let reclaim = bounded(layout, reclaim, keep.len(), held);
    let reclaim = top_up(layout, tally, reclaim, (keep.len(), held));
    for (name, cpus) in [
        (PoolName::RECLAIM, reclaim),
        (PoolName::RESERVE, layout.reserve.difference(&tally.own)),
        (PoolName::INTERRUPT, layout.forbidden),
        (PoolName::DEDICATED, tally.own.intersection(&layout.online)),
    ] {
        if !cpus.is_empty() {
            pools.insert(PoolName::from(name), PoolPlan { cpus, need: MilliCpu(0) });
        }
    }
    pools
}

/// The share pools that are bound to one node, without making all others: what the answer to a bound
/// pod needs.
pub fn bound_pools(
    layout: &Layout,
    policy: &PlacementPolicy,
    tally: &Tally,
    node: NumaNodeId,
) -> Pools {
    let keep = reclaim_reserve(layout, policy, tally);
    let regions = region::regions(layout, tally).into_iter();
    let here = regions.filter(|region| region.node == Some(node));
    let nothing = Held::default();
    here.flat_map(|region| region::cut(layout, policy, &region, (&keep, &nothing)).pools).collect()
}

/// Growth is bounded, down to what reclaimed work always has.
fn bounded(layout: &Layout, reclaim: CpuSet, n_kept: usize, held: &Held<'_>) -> CpuSet {
    match held.max_reclaim {
        Some(most) if reclaim.len() > most.max(n_kept) => {
            let before = held.cpus(PoolName::RECLAIM);
            take::keeping(layout, &reclaim, &before, most.max(n_kept), End::High)
        }
        _ => reclaim,
    }
}

/// A region and its CPUs: all that pools may divide, and how many of them reclaimed work keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Territory {
    /// `None`: the pools without NUMA binding.
    pub node: Option<NumaNodeId>,
    pub cpus: CpuSet,
    pub n_kept: usize,
    /// CPUs of share pools, which reclaimed work may overlap, and of none.
    pub reclaimable: CpuSet,
}

/// All regions with a share pool.
pub fn territories(layout: &Layout, policy: &PlacementPolicy, tally: &Tally) -> Vec<Territory> {
    let keep = reclaim_reserve(layout, policy, tally);
    let one = |region: region::Region<'_>| {
        let cut = region::cut(layout, policy, &region, (&keep, &Held::default()));
        let n_kept = region.cpus.intersection(&keep).len();
        let reclaimable = cut.left.union(&cut.unasked);
        Territory { node: region.node, cpus: region.cpus, n_kept, reclaimable }
    };
    region::regions(layout, tally).into_iter().map(one).collect()
}

/// The CPUs that the reclaim pool has before anything is known: it keeps so many.
pub(crate) fn reclaim_reserve(layout: &Layout, policy: &PlacementPolicy, tally: &Tally) -> CpuSet {
    let n_nodes = layout.nodes.iter().filter(|node| node.n_cpus > 0).count();
    let count = match policy.reclaim_reserve {
        ReclaimReserve::PerNode => RECLAIM_RESERVE.max(n_nodes),
        ReclaimReserve::Count(count) => usize::from(count),
        ReclaimReserve::Cpus(cpus) => return cpus.intersection(&tally.free),
    };
    let n = count.min(layout.usable.len());
    let from = if tally.free.len() >= n { tally.free } else { layout.usable };
    take::threads_balanced(layout, &from, n, End::Low).unwrap_or(from)
}

/// Adds lent CPUs to a reclaim pool that is too small: of share pools, and where nothing is free at
/// all of the system's reserve; one that somebody owns only for pods that would have none.
fn top_up(
    layout: &Layout,
    tally: &Tally,
    reclaim: CpuSet,
    (n, held): (usize, &Held<'_>),
) -> CpuSet {
    // Even a policy that keeps nothing leaves a pool with pods one CPU.
    let n = n.max(usize::from(tally.n_reclaimed > 0));
    let lend = |lender: &CpuSet, reclaim, n| lend(layout, lender, reclaim, (n, held));
    let lent = lend(&tally.free, reclaim, n);
    if !lent.is_empty() {
        return lent;
    }
    let reserve = layout.reserve.difference(&tally.own);
    let lent = lend(&reserve, CpuSet::EMPTY, n.min(1));
    if !lent.is_empty() || tally.n_reclaimed == 0 {
        return lent;
    }
    lend(&tally.own.intersection(&layout.online), CpuSet::EMPTY, 1)
}

/// Fills a set up to `n` CPUs from the highest ids of a lender, those it lent before first.
fn lend(
    layout: &Layout,
    lender: &CpuSet,
    reclaim: CpuSet,
    (n, held): (usize, &Held<'_>),
) -> CpuSet {
    let candidates = lender.difference(&reclaim);
    let missing = n.saturating_sub(reclaim.len()).min(candidates.len());
    let before = held.cpus(PoolName::RECLAIM);
    reclaim.union(&take::keeping(layout, &candidates, &before, missing, End::High))
}

/// The name of the pool of a share pool's part on a node.
fn bound_name(name: &PoolName, node: Option<NumaNodeId>) -> PoolName {
    node.map_or_else(|| name.clone(), |node| name.on_node(node))
}

#[cfg(test)]
mod tests;
