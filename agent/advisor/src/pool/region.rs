//! One region: a set of CPUs and the share pools that divide it. Owns the cut into pools and what is
//! left for reclaimed work; the numbers come from `size`.

use model::placement::PlacementPolicy;
use model::plan::PoolPlan;
use model::provision::ReclaimKnob;
use model::qos::PoolName;
use model::{CpuSet, NumaNodeId};

use super::size::{Space, Want, assemble, overlap_sizes};
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
    knob: ReclaimKnob,
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
        knob: tally.knob,
        withheld: node.withheld,
    });
    let unbound = Region {
        node: None,
        cpus: tally.unbound,
        pools: settled(&tally.pools),
        knob: tally.knob,
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
    (keep, held): (&CpuSet, &Held<'_>),
) -> Cut {
    let n_kept = region.cpus.intersection(keep).len();
    let wants: Vec<Want> = region.pools.iter().map(|pool| Want::of(pool)).collect();
    let Some(sizes) = assemble(space(policy, region, n_kept), &wants) else {
        return crowded(region);
    };
    let overlaps = overlaps(policy, region, &wants, &sizes, n_kept);
    let lent_before = held.cpus(PoolName::RECLAIM);
    let mut cut = Cut { pools: Vec::new(), left: region.cpus, unasked: CpuSet::EMPTY };
    for ((pool, size), overlap) in region.pools.iter().zip(sizes).zip(overlaps) {
        let name = name_of(pool, region);
        let cpus = take::keeping(layout, &cut.left, &held.cpus(name.as_str()), size, End::Low);
        cut.left = cut.left.difference(&cpus);
        let lent = take::keeping(layout, &cpus, &lent_before, overlap.min(cpus.len()), End::High);
        cut.unasked = cut.unasked.union(&lent);
        cut.pools.push((name, PoolPlan { cpus, need: pool.asked }));
    }
    cut
}

/// How many CPUs the pools may divide, and how far they grow. Measured sizes leave reclaimed work
/// what it keeps, as long as each pool has a CPU.
fn space(policy: &PlacementPolicy, region: &Region<'_>, n_kept: usize) -> Space {
    let n_cpus = region.cpus.len();
    let left = n_cpus.saturating_sub(n_kept);
    let overlapping = policy.overlap_shared_reclaim || region.knob == ReclaimKnob::Quota;
    match (overlapping, region.knob) {
        (true, _) => Space { n_cpus, grow_to: Some(n_cpus) },
        (false, ReclaimKnob::Requests) => {
            Space { n_cpus, grow_to: (!policy.reclaim_enabled).then_some(left) }
        }
        (false, _) => {
            let n_cpus = if left < region.pools.len() { n_cpus } else { left };
            Space { n_cpus, grow_to: (!policy.reclaim_enabled).then_some(n_cpus) }
        }
    }
}

/// How many CPUs of each pool reclaimed work runs on as well.
fn overlaps(
    policy: &PlacementPolicy,
    region: &Region<'_>,
    wants: &[Want],
    sizes: &[usize],
    n_kept: usize,
) -> Vec<usize> {
    let shared = |idx: usize| if wants[idx].upper.is_none() { sizes[idx] } else { 0 };
    let pools: Vec<usize> = (0..sizes.len()).map(shared).collect();
    match (region.knob, policy.reclaim_enabled) {
        (_, false) => vec![0; sizes.len()],
        (ReclaimKnob::Quota, true) => pools,
        _ if !policy.overlap_shared_reclaim => vec![0; sizes.len()],
        (ReclaimKnob::Requests, true) => unasked(region, &pools),
        (ReclaimKnob::Cpus, true) => {
            let total: usize = pools.iter().sum();
            let needs = wants.iter().filter(|want| want.upper.is_none());
            let need = needs.fold(0, |sum: usize, want| sum.saturating_add(want.n_sized()));
            let lent = total.saturating_sub(need).max(n_kept).min(total);
            overlap_sizes(lent, &pools).unwrap_or(pools)
        }
    }
}

/// A pool's name here; the pool of an isolated pod is named after the pod alone.
fn name_of(pool: &PoolTally, region: &Region<'_>) -> PoolName {
    bound_name(&pool.name, region.node.filter(|_| pool.upper.is_none()))
}

/// Fewer CPUs than pools: all of them share all.
fn crowded(region: &Region<'_>) -> Cut {
    let pools = region.pools.iter().map(|pool| {
        let plan = PoolPlan { cpus: region.cpus, need: pool.asked };
        (name_of(pool, region), plan)
    });
    Cut { pools: pools.collect(), left: CpuSet::EMPTY, unasked: CpuSet::EMPTY }
}

/// The part of each pool that is lent: all but its part of what the region withholds, else what its
/// requests leave: ceil(size * (1 - asked/size)), which is size - floor(asked).
fn unasked(region: &Region<'_>, sizes: &[usize]) -> Vec<usize> {
    let together = region.withheld.map(|n| n.min(sizes.iter().sum()));
    let parts = together.and_then(|n| overlap_sizes(n, sizes).ok());
    let asked = |pool: &&PoolTally| usize::try_from(pool.asked.0 / 1000).unwrap_or(usize::MAX);
    let withheld = parts.unwrap_or_else(|| region.pools.iter().map(asked).collect());
    sizes.iter().zip(withheld).map(|(size, withheld)| size.saturating_sub(withheld)).collect()
}
