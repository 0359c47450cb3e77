//! One region: a set of CPUs and the share pools that divide it. Owns the cut into pools and what is
//! left for reclaimed work; the numbers come from `size`.

use model::placement::PlacementPolicy;
use model::plan::PoolPlan;
use model::qos::PoolName;
use model::{CpuSet, MilliCpu, NumaNodeId};

use super::size::{expand, overlap_sizes, regulate};
use super::{Held, bound_name};
use crate::layout::Layout;
use crate::take::{self, End};
use crate::tally::{PoolTally, Tally};

/// CPUs and who divides them.
pub(super) struct Region<'a> {
    /// `None`: the pools without NUMA binding.
    pub(super) node: Option<NumaNodeId>,
    pub(super) cpus: CpuSet,
    pools: Vec<&'a PoolTally>,
    /// Of all its pools together, see `Tally::withheld`.
    withheld: Option<usize>,
}

/// A region divided.
pub(super) struct Cut {
    pub(super) pools: Vec<(PoolName, PoolPlan)>,
    /// In no pool.
    pub(super) left: CpuSet,
    /// In a pool, lent to reclaimed work.
    pub(super) unasked: CpuSet,
}

/// Regions with a pool in them.
pub(super) fn regions<'a>(layout: &Layout, tally: &'a Tally) -> Vec<Region<'a>> {
    let settled = |pools: &'a [PoolTally]| -> Vec<&'a PoolTally> {
        pools.iter().filter(|pool| pool.n_settled > 0).collect()
    };
    let bound = layout.nodes.iter().zip(&tally.nodes).map(|(room, node)| Region {
        node: Some(room.id),
        cpus: room.cpus.intersection(&tally.free),
        pools: settled(&node.pools),
        withheld: node.withheld,
    });
    let unbound = Region {
        node: None,
        cpus: tally.unbound,
        pools: settled(&tally.pools),
        withheld: tally.withheld,
    };
    let mut regions: Vec<Region<'_>> = bound.chain([unbound]).collect();
    regions.retain(|region| !region.pools.is_empty());
    for region in &mut regions {
        if region.cpus.is_empty() {
            // All its CPUs went offline: its pods run on what there is.
            region.cpus = fallback(layout, tally);
        }
    }
    regions
}

/// Where work runs whose own CPUs are all gone; never empty.
pub(super) fn fallback(layout: &Layout, tally: &Tally) -> CpuSet {
    let candidates = [tally.unbound, tally.free, layout.usable];
    candidates.into_iter().find(|cpus| !cpus.is_empty()).unwrap_or(layout.online)
}

/// Divides a region; `keep` are the CPUs that reclaimed work keeps somewhere, `held` what was before.
pub(super) fn cut(
    layout: &Layout,
    policy: &PlacementPolicy,
    region: &Region<'_>,
    (keep, held): (&CpuSet, &Held),
) -> Cut {
    let n_cpus = region.cpus.len();
    let asked: Vec<MilliCpu> = region.pools.iter().map(|pool| pool.sized).collect();
    let Some(sizes) = regulate(n_cpus, &asked) else {
        return crowded(region);
    };
    let n_kept = region.cpus.intersection(keep).len();
    let sizes = match (policy.overlap_shared_reclaim, policy.reclaim_enabled) {
        (true, _) => expand(n_cpus, &asked, &sizes),
        (false, false) => expand(n_cpus.saturating_sub(n_kept), &asked, &sizes),
        (false, true) => sizes,
    };
    let withheld = withheld(region, &sizes);
    let lends = policy.overlap_shared_reclaim && policy.reclaim_enabled;
    let lent_before = held.cpus(PoolName::RECLAIM);
    let mut cut = Cut { pools: Vec::new(), left: region.cpus, unasked: CpuSet::EMPTY };
    for (idx, (pool, size)) in region.pools.iter().zip(sizes).enumerate() {
        let name = bound_name(&pool.name, region.node);
        let before = held.cpus(name.as_str());
        let cpus = take::keeping(layout, &cut.left, &before, size, End::Low);
        cut.left = cut.left.difference(&cpus);
        if lends {
            let n = cpus.len().saturating_sub(withheld[idx]);
            let unasked = take::keeping(layout, &cpus, &lent_before, n, End::High);
            cut.unasked = cut.unasked.union(&unasked);
        }
        cut.pools.push((name, PoolPlan { cpus, need: pool.asked }));
    }
    cut
}

/// CPUs of each pool that are not lent: its part of what the region withholds, else what is asked
/// for (Katalyst lends ceil(size * (1 - asked/size)), which is size - floor(asked)).
fn withheld(region: &Region<'_>, sizes: &[usize]) -> Vec<usize> {
    let together = region.withheld.map(|n| n.min(sizes.iter().sum()));
    let parts = together.and_then(|n| overlap_sizes(n, sizes).ok());
    let asked = |pool: &&PoolTally| usize::try_from(pool.asked.0 / 1000).unwrap_or(usize::MAX);
    parts.unwrap_or_else(|| region.pools.iter().map(asked).collect())
}

/// Fewer CPUs than pools: all of them share all.
fn crowded(region: &Region<'_>) -> Cut {
    let pools = region.pools.iter().map(|pool| {
        let plan = PoolPlan { cpus: region.cpus, need: pool.asked };
        (bound_name(&pool.name, region.node), plan)
    });
    Cut { pools: pools.collect(), left: CpuSet::EMPTY, unasked: CpuSet::EMPTY }
}
