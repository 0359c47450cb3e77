//! One region: a set of CPUs and the share pools that divide it. Owns the cut into pools and what is
//! left for reclaimed work; the numbers come from `size`.

use model::placement::PlacementPolicy;
use model::plan::PoolPlan;
use model::qos::PoolName;
use model::{CpuSet, MilliCpu, NumaNodeId};

use super::bound_name;
use super::size::{expand, regulate};
use crate::layout::Layout;
use crate::take::{self, End};
use crate::tally::{PoolTally, Tally};

/// CPUs and who divides them.
pub(super) struct Region<'a> {
    /// `None`: the pools without NUMA binding.
    pub(super) node: Option<NumaNodeId>,
    pub(super) cpus: CpuSet,
    pools: Vec<&'a PoolTally>,
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
    });
    let unbound = Region { node: None, cpus: tally.unbound, pools: settled(&tally.pools) };
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

/// Divides a region; `keep` are the CPUs that reclaimed work keeps somewhere.
pub(super) fn cut(
    layout: &Layout,
    policy: &PlacementPolicy,
    region: &Region<'_>,
    keep: &CpuSet,
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
    let mut cut = Cut { pools: Vec::new(), left: region.cpus, unasked: CpuSet::EMPTY };
    for (pool, size) in region.pools.iter().zip(sizes) {
        let cpus = take::balanced(layout, &cut.left, size, End::Low).unwrap_or(cut.left);
        cut.left = cut.left.difference(&cpus);
        if policy.overlap_shared_reclaim && policy.reclaim_enabled {
            cut.unasked = cut.unasked.union(&unasked(layout, pool, &cpus));
        }
        let plan = PoolPlan { cpus, need: pool.asked };
        cut.pools.push((bound_name(&pool.name, region.node), plan));
    }
    cut
}

/// Fewer CPUs than pools: all of them share all.
fn crowded(region: &Region<'_>) -> Cut {
    let pools = region.pools.iter().map(|pool| {
        let plan = PoolPlan { cpus: region.cpus, need: pool.asked };
        (bound_name(&pool.name, region.node), plan)
    });
    Cut { pools: pools.collect(), left: CpuSet::EMPTY, unasked: CpuSet::EMPTY }
}

/// The part of a pool that its requests leave, from the highest ids: ceil(size * (1 - asked/size)),
/// which is size - floor(asked).
fn unasked(layout: &Layout, pool: &PoolTally, cpus: &CpuSet) -> CpuSet {
    let size = cpus.len();
    let whole = usize::try_from(pool.asked.0 / 1000).unwrap_or(usize::MAX);
    take::balanced(layout, cpus, size.saturating_sub(whole), End::High).unwrap_or_default()
}
