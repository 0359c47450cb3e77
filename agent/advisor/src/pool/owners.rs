//! Where one resident runs, given the pools. Owns the mapping from what was promised to CPUs and
//! memory nodes; the pools are made elsewhere.

use model::ledger::{Place, Resident};
use model::qos::{PoolName, QosLevel};
use model::{CpuSet, NumaSet, Timestamp};

use super::Pools;
use super::region::fallback;
use crate::layout::Layout;
use crate::tally::{Tally, pool_of};

/// Where all containers of one pod run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Never empty.
    pub cpus: CpuSet,
    pub mems: NumaSet,
    /// `None`: in no pool (yet).
    pub pool: Option<PoolName>,
}

/// Where a resident runs.
pub fn placement(
    layout: &Layout,
    tally: &Tally,
    pools: &Pools,
    resident: &Resident,
    now: Timestamp,
) -> Placement {
    let (cpus, pool) = cpus_of(layout, tally, pools, resident, now);
    let cpus = cpus.intersection(&layout.online);
    let cpus = if cpus.is_empty() { instead(layout, tally, resident) } else { cpus };
    Placement { cpus, mems: mems_of(layout, tally, resident), pool }
}

/// For a resident whose CPUs are all offline: what nobody owns of the nodes it is bound to, where its
/// memory is; with what there is elsewhere if that is not as much as it asks for.
fn instead(layout: &Layout, tally: &Tally, resident: &Resident) -> CpuSet {
    let bound = match resident.place {
        Place::Own { nodes, .. } => nodes,
        Place::Node(node) => NumaSet::single(node),
        Place::Pool | Place::Anywhere => NumaSet::EMPTY,
    };
    let near = layout.usable_of(bound).intersection(&tally.free);
    let is_enough = !near.is_empty() && near.len() as u64 >= resident.ask.cpu.ceil_cpus();
    if is_enough { near } else { near.union(&fallback(layout, tally)) }
}

fn cpus_of(
    layout: &Layout,
    tally: &Tally,
    pools: &Pools,
    resident: &Resident,
    now: Timestamp,
) -> (CpuSet, Option<PoolName>) {
    let of = |name: &str| pools.get(name).map_or(CpuSet::EMPTY, |pool| pool.cpus);
    let ask = &resident.ask;
    if tally.isolated.contains(&ask.uid) {
        let own = PoolName::isolation_of(&ask.uid);
        return (of(own.as_str()), Some(own));
    }
    let name = pool_of(ask);
    match (resident.place, ask.level) {
        (Place::Anywhere, _) => (layout.online, None),
        // Whoever lost all its CPUs owns none: it runs with others, like one in no pool yet.
        (Place::Own { cpus, .. }, _) if cpus.is_disjoint(&layout.online) => (CpuSet::EMPTY, None),
        (Place::Own { cpus, .. }, _) => (cpus, Some(PoolName::from(PoolName::DEDICATED))),
        (Place::Node(node), QosLevel::ReclaimedCores) => {
            let here = layout.usable_of(NumaSet::single(node)).intersection(&of(PoolName::RECLAIM));
            let cpus = if here.is_empty() { of(PoolName::RECLAIM) } else { here };
            (cpus, Some(name))
        }
        (Place::Node(node), _) => {
            let bound = name.on_node(node);
            (of(bound.as_str()), Some(bound))
        }
        (Place::Pool, QosLevel::ReclaimedCores) => {
            let bound = layout.usable_of(tally.reclaim_bound);
            let elsewhere = of(PoolName::RECLAIM).difference(&bound);
            let cpus = if elsewhere.is_empty() { of(PoolName::RECLAIM) } else { elsewhere };
            (cpus, Some(name))
        }
        (Place::Pool, QosLevel::SystemCores) => {
            let cpus = of(name.as_str());
            (if cpus.is_empty() { layout.online } else { cpus }, Some(name))
        }
        // A new pod runs on everything that is not withheld; no pool shrinks for it meanwhile.
        (Place::Pool, _) if resident.is_ramping(now) => (tally.unbound, None),
        (Place::Pool, _) => (of(name.as_str()), Some(name)),
    }
}

/// The memory nodes of a resident: those it is bound to, else all without a NUMA-bound pod.
pub fn mems_of(layout: &Layout, tally: &Tally, resident: &Resident) -> NumaSet {
    let bound = match resident.place {
        Place::Own { nodes, .. } => nodes,
        Place::Node(node) => NumaSet::single(node),
        Place::Pool | Place::Anywhere => NumaSet::EMPTY,
    };
    let everywhere = layout.nodes_with_memory();
    let has_all = resident.ask.level == QosLevel::SystemCores || resident.place == Place::Anywhere;
    if has_all {
        return everywhere;
    }
    let rooms = || layout.nodes.iter().zip(&tally.nodes);
    let chosen = |keep: &dyn Fn(usize) -> bool| {
        let kept = rooms().enumerate().filter(|(idx, _)| keep(*idx));
        kept.fold(NumaSet::EMPTY, |all, (_, (room, _))| all.union(room.memory))
    };
    let nodes = match bound.is_empty() {
        false => chosen(&|idx| bound.contains(layout.nodes[idx].id)),
        true => {
            let withheld = chosen(&|idx| tally.nodes[idx].is_bound());
            everywhere.difference(withheld)
        }
    };
    if nodes.is_empty() { everywhere } else { nodes }
}
