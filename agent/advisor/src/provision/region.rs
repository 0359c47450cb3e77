//! The regions that are sized: share pools, those of one NUMA node apart, and owners of whole nodes.
//! Owns which pods belong to one, the size that stands, and its bounds.

use std::collections::BTreeMap;

use model::ledger::{Place, Resident};
use model::provision::ReclaimKnob;
use model::qos::{PoolName, QosLevel};
use model::{CpuSet, MilliCpu, NumaNodeId};

use super::ProvisionInput;
use crate::pool::{self, Territory};
use crate::tally::{PoolTally, Tally, pool_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Share,
    /// Dedicated CPUs that reclaimed work may borrow.
    Owner,
}

/// One region.
pub(super) struct Region<'a> {
    pub(super) name: PoolName,
    pub(super) kind: Kind,
    pub(super) pods: Vec<&'a Resident>,
    /// Promised: requests as pools without measurement count them, or all CPUs of an owner.
    pub(super) asked: MilliCpu,
    /// CPUs that stand, what was promised since included.
    pub(super) before: usize,
    /// Whether somebody was promised more since the size was decided, or this is the first.
    pub(super) is_moved: bool,
    pub(super) upper: usize,
}

/// All regions, ordered by kind, node and name.
pub(super) fn regions<'a>(
    input: &ProvisionInput<'a>,
    tally: &Tally,
    knob: ReclaimKnob,
) -> Vec<Region<'a>> {
    let measured = Tally { knob, ..tally.clone() };
    let territories = pool::territories(input.layout, input.policy, &measured);
    let pods = members(input, tally);
    let mut regions = Vec::new();
    for territory in &territories {
        for pool in share_pools(input, tally, territory.node) {
            let name = name_of(&pool.name, territory.node);
            let upper = upper(input, territory, knob);
            let pods = pods.get(&name).cloned().unwrap_or_default();
            regions.push(region(input, (name, Kind::Share), pods, pool.sized, upper));
        }
    }
    regions.extend(owners(input));
    regions
}

fn share_pools<'t>(
    input: &ProvisionInput<'_>,
    tally: &'t Tally,
    node: Option<NumaNodeId>,
) -> impl Iterator<Item = &'t PoolTally> {
    let idx = node.and_then(|node| input.layout.node_idx(node));
    let pools = idx.map_or(&tally.pools, |idx| &tally.nodes[idx].pools);
    pools.iter().filter(|pool| pool.n_settled > 0 && pool.upper.is_none())
}

fn upper(input: &ProvisionInput<'_>, territory: &Territory, knob: ReclaimKnob) -> usize {
    let n_cpus = territory.cpus.len();
    let lends = input.policy.overlap_shared_reclaim || knob == ReclaimKnob::Quota;
    let kept = if lends { 0 } else { territory.n_kept };
    n_cpus.saturating_sub(kept).max(1)
}

fn region<'a>(
    input: &ProvisionInput<'a>,
    (name, kind): (PoolName, Kind),
    pods: Vec<&'a Resident>,
    asked: MilliCpu,
    upper: usize,
) -> Region<'a> {
    let held = input.state.regions.get(&name);
    let (before, is_moved) = match held {
        Some(held) => {
            let more = ceil(asked.0.saturating_sub(held.asked.0));
            (usize::from(held.n_cpus).saturating_add(more), more > 0)
        }
        None => (ceil(asked.0).max(1), true),
    };
    let cut = before > upper;
    Region { name, kind, pods, asked, before: before.min(upper), is_moved: is_moved || cut, upper }
}

fn ceil(milli: u64) -> usize {
    usize::try_from(MilliCpu(milli).ceil_cpus()).unwrap_or(usize::MAX)
}

/// Settled pods by the name of their region.
fn members<'a>(input: &ProvisionInput<'a>, tally: &Tally) -> BTreeMap<PoolName, Vec<&'a Resident>> {
    let mut members: BTreeMap<PoolName, Vec<&Resident>> = BTreeMap::new();
    for resident in input.ledger.pods.values() {
        if !tally.isolated.contains(&resident.ask.uid)
            && let Some(name) = share_region(input, resident)
        {
            members.entry(name).or_default().push(resident);
        }
    }
    members
}

/// The region of a shared pod that is confined to its pool.
pub(super) fn share_region(input: &ProvisionInput<'_>, resident: &Resident) -> Option<PoolName> {
    if resident.ask.level != QosLevel::SharedCores {
        return None;
    }
    match resident.place {
        Place::Node(node) => Some(name_of(&pool_of(&resident.ask), Some(node))),
        Place::Pool if !resident.is_ramping(input.now) => Some(pool_of(&resident.ask)),
        Place::Own { .. } | Place::Pool | Place::Anywhere => None,
    }
}

pub(super) fn name_of(pool: &PoolName, node: Option<NumaNodeId>) -> PoolName {
    node.map_or_else(|| pool.clone(), |node| pool.on_node(node))
}

/// Owners of whole NUMA nodes, where they lend.
fn owners<'a>(input: &ProvisionInput<'a>) -> Vec<Region<'a>> {
    let lenders = input.ledger.pods.values().filter_map(|one| Some((one, lender(input, one)?)));
    let region = |(resident, own): (&'a Resident, CpuSet)| {
        let asked = MilliCpu::from_cpus(own.len() as u64);
        let name = (owner_name(resident), Kind::Owner);
        region(input, name, vec![resident], asked, own.len())
    };
    lenders.map(region).collect()
}

/// The online CPUs of an owner that lends.
pub(super) fn lender(input: &ProvisionInput<'_>, resident: &Resident) -> Option<CpuSet> {
    let Place::Own { cpus, nodes } = resident.place else { return None };
    let lends = input.provision.lend_exclusive && input.policy.reclaim_enabled;
    let exclusive = resident.ask.wish.numa_exclusive && !nodes.is_empty();
    let own = cpus.intersection(&input.layout.online);
    (lends && exclusive && !own.is_empty()).then_some(own)
}

/// No share pool has a slash in its name.
pub(super) fn owner_name(resident: &Resident) -> PoolName {
    PoolName::new(format!("{}/{}", PoolName::DEDICATED, resident.ask.uid))
}
