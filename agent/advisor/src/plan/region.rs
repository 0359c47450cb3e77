//! CPUs that the same share pools divide, and who runs in them: a NUMA node with bound pods, or all
//! that is not withheld. Owns the grouping; how many CPUs a region keeps is `size`'s, which is
//! written back into the `Tally` here.

use model::ledger::{Ledger, Place};
use model::qos::{PoolName, QosLevel};
use model::snapshot::WorkloadView;
use model::{CpuSet, MilliCpu, NumaNodeId};

use super::PlanInput;
use crate::layout::Layout;
use crate::pool::regulate;
use crate::tally::{self, PoolTally, Tally};

/// One region with everybody who is confined to it.
pub(super) struct Region<'a> {
    /// `None`: the part without NUMA binding.
    pub(super) node: Option<NumaNodeId>,
    /// Under which its state is kept: `share`, `share-NUMA1`.
    pub(super) name: PoolName,
    pub(super) cpus: CpuSet,
    pub(super) n_cpus: usize,
    /// CPUs that stay with reclaimed work whatever happens.
    pub(super) floor: usize,
    pub(super) members: Vec<Member<'a>>,
}

/// A workload and the pool it is confined to.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) pool: &'a str,
    pub(super) view: &'a WorkloadView,
}

/// All regions: that without binding first, then nodes by id. The first exists even when nobody is in
/// it, since that is where the next one goes.
pub(super) fn regions<'a>(
    input: &PlanInput<'a>,
    layout: &Layout,
    tally: &mut Tally,
    ledger: &'a Ledger,
    n_kept: usize,
) -> Vec<Region<'a>> {
    let mut regions = vec![Region::new(None, tally.unbound, n_kept)];
    for (room, node) in layout.nodes.iter().zip(&tally.nodes) {
        if !node.pools.is_empty() {
            let cpus = room.cpus.intersection(&tally.free);
            regions.push(Region::new(Some(room.id), cpus, 0));
        }
    }
    let isolated = &tally.isolated;
    let others = input.snapshot.workloads.iter();
    for (name, view) in others.filter(|(name, _)| !isolated.contains(name.as_str())) {
        if let Some((node, pool)) = home(ledger, name.as_str(), view)
            && let Some(region) = regions.iter_mut().find(|region| region.node == node)
        {
            region.members.push(Member { pool, view });
        }
    }
    add_strangers(tally, &regions[0]);
    regions
}

impl Region<'_> {
    fn new<'a>(node: Option<NumaNodeId>, cpus: CpuSet, n_kept: usize) -> Region<'a> {
        let share = PoolName::from(PoolName::SHARE);
        let name = node.map_or_else(|| share.clone(), |node| share.on_node(node));
        let n_cpus = cpus.len();
        Region { node, name, cpus, n_cpus, floor: n_kept.min(n_cpus), members: Vec::new() }
    }

    /// Puts a size into the tally, divided among the region's pools by what each needs.
    pub(super) fn set_size(
        &self,
        layout: &Layout,
        tally: &mut Tally,
        (n_exclusive, needs): (usize, &[(&str, MilliCpu)]),
    ) {
        let idx = self.node.and_then(|node| layout.node_idx(node));
        match idx {
            Some(idx) => tally.nodes[idx].withheld = Some(n_exclusive),
            None => tally.withheld = Some(n_exclusive),
        }
        let pools = match idx {
            Some(idx) => &mut tally.nodes[idx].pools,
            None => &mut tally.pools,
        };
        // A pod with a pool of its own has what it asks for.
        let mut pools: Vec<&mut PoolTally> =
            pools.iter_mut().filter(|pool| pool.upper.is_none()).collect();
        let wanted: Vec<MilliCpu> = pools.iter().map(|pool| need_of(needs, pool)).collect();
        let sizes = regulate(n_exclusive, &wanted).map(|sizes| grown(n_exclusive, sizes));
        for (idx, pool) in pools.iter_mut().enumerate() {
            let size = sizes.as_ref().map_or(1, |sizes| sizes[idx]);
            pool.sized = MilliCpu::from_cpus(size as u64);
        }
    }
}

fn need_of(needs: &[(&str, MilliCpu)], pool: &PoolTally) -> MilliCpu {
    let found = needs.iter().find(|(name, _)| *name == pool.name.as_str());
    found.map_or(MilliCpu(0), |(_, need)| *need)
}

/// Whatever a region keeps beyond the needs goes to its largest pool.
fn grown(n_cpus: usize, mut sizes: Vec<usize>) -> Vec<usize> {
    let rest = n_cpus.saturating_sub(sizes.iter().sum());
    let largest = sizes.iter().copied().max().unwrap_or(0);
    if let Some(idx) = sizes.iter().position(|size| *size == largest) {
        sizes[idx] += rest;
    }
    sizes
}

/// The region and pool of a workload; `None` for those that are in none.
fn home<'a>(
    ledger: &'a Ledger,
    name: &str,
    view: &'a WorkloadView,
) -> Option<(Option<NumaNodeId>, &'a str)> {
    let is_shared = view.spec.qos == QosLevel::SharedCores;
    let pool = view.spec.wish.cpuset_pool.as_ref().map_or(PoolName::SHARE, PoolName::as_str);
    match ledger.pods.get(name).map(|resident| resident.place) {
        Some(Place::Node(node)) if is_shared => Some((Some(node), pool)),
        Some(Place::Pool) if is_shared => Some((None, pool)),
        // Refused: it runs in the share pool.
        None if is_shared || view.spec.qos == QosLevel::DedicatedCores => {
            Some((None, PoolName::SHARE))
        }
        _ => None,
    }
}

/// Who was refused runs in the share pool, so it exists; an empty node has it too.
fn add_strangers(tally: &mut Tally, unbound: &Region<'_>) {
    let strangers = unbound.members.iter().any(|member| member.pool == PoolName::SHARE);
    if unbound.n_cpus > 0 && (strangers || tally.pools.is_empty()) {
        let pool = tally::entry(&mut tally.pools, PoolName::from(PoolName::SHARE));
        pool.n_settled = pool.n_settled.max(1);
    }
}
