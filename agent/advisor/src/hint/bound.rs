//! Shared and reclaimed pods with NUMA binding: one node each, preferred by what would be left.

use model::placement::NumaHintPolicy;
use model::pod::Ask;
use model::{MilliCpu, NumaNodeId, NumaSet};

use super::dedicated::cpus_text;
use super::{Hint, PlacementInput};
use crate::layout::Layout;
use crate::pool;
use crate::tally::{Tally, Tenant};

/// A node seen by a bound shared pod.
pub(crate) struct BoundRoom {
    pub(crate) id: NumaNodeId,
    /// All CPUs that bound pods could have.
    pub(crate) has: MilliCpu,
    /// What bound pods asked for already.
    pub(crate) asked: MilliCpu,
    /// `None`: the pod may not be here.
    left: Option<MilliCpu>,
}

impl BoundRoom {
    pub(crate) fn all(layout: &Layout, tally: &Tally, ask: &Ask) -> Vec<BoundRoom> {
        let tenant = Tenant::of(ask);
        let spare = tally.unbound_spare();
        let rooms = layout.nodes.iter().zip(&tally.nodes).filter(|(node, _)| node.n_cpus > 0);
        let room = |(node, sums): (&crate::layout::Node, &crate::tally::NodeTally)| {
            let has = MilliCpu::from_cpus(sums.n_free as u64);
            let asked = sums.asked();
            let tolerated = sums.tenants.iter().all(|other| tenant.tolerates(other));
            // A node that becomes bound is taken from pods without binding.
            let affordable = sums.is_bound() || sums.n_free <= spare;
            let open = tolerated && affordable && sums.n_free > 0;
            let left = has.0.checked_sub(asked.0).and_then(|left| left.checked_sub(ask.cpu.0));
            BoundRoom { id: node.id, has, asked, left: left.filter(|_| open).map(MilliCpu) }
        };
        rooms.map(room).collect()
    }

    pub(crate) fn is_possible(&self) -> bool {
        self.left.is_some()
    }
}

/// Nodes for a shared pod.
pub(super) fn shared(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
) -> Result<Vec<Hint>, String> {
    check_number(ask)?;
    let mut rooms = BoundRoom::all(input.layout, tally, ask);
    if let Some(ids) = ask.wish.numa_ids {
        rooms.retain(|room| ids.contains(room.id));
    }
    let possible: Vec<(&BoundRoom, MilliCpu)> =
        rooms.iter().filter_map(|room| Some((room, room.left?))).collect();
    if possible.is_empty() {
        return Err(why_not(&rooms, ask, tally));
    }
    let policy = input.policy;
    let keeps = |room: &BoundRoom, left: MilliCpu| {
        left.0 as f64 >= room.has.0 as f64 * policy.packing_keep_ratio
    };
    let packs = match policy.numa_hint {
        NumaHintPolicy::Spreading => None,
        NumaHintPolicy::Packing => Some(0.0),
        NumaHintPolicy::DynamicPacking => Some(policy.packing_keep_ratio),
    };
    let packed = |room: &BoundRoom, left| packs == Some(0.0) || keeps(room, left);
    let candidates = possible.iter().filter(|(room, left)| packed(room, *left));
    let least_left = candidates.map(|(_, left)| *left).min().filter(|_| packs.is_some());
    let most_left = possible.iter().map(|(_, left)| *left).max();
    let hint = |(room, left): &(&BoundRoom, MilliCpu)| {
        let preferred = match least_left {
            Some(least) => packed(room, *left) && *left == least,
            None => Some(*left) == most_left,
        };
        Hint { nodes: NumaSet::single(room.id), preferred }
    };
    let mut hints: Vec<Hint> = possible.iter().map(hint).collect();
    if policy.numa_hint == NumaHintPolicy::DynamicPacking {
        hints.sort_by_key(|hint| !hint.preferred);
    }
    Ok(hints)
}

fn check_number(ask: &Ask) -> Result<(), String> {
    let ids = ask.wish.numa_ids.map_or(1, NumaSet::len);
    let number = usize::from(ask.wish.numa_number.unwrap_or(1));
    if ids > 1 || number > 1 {
        let asked = ids.max(number);
        return Err(format!("a shared pod is bound to one NUMA node, {asked} are asked for"));
    }
    Ok(())
}

fn why_not(rooms: &[BoundRoom], ask: &Ask, tally: &Tally) -> String {
    let free = |room: &BoundRoom| MilliCpu(room.has.0.saturating_sub(room.asked.0));
    let each = rooms.iter().map(|room| format!("{}: {}", room.id, cpus_text(free(room))));
    format!(
        "no single NUMA node can give {}; left by node {{{}}}, shared pods without NUMA binding can \
         give up {} CPUs",
        cpus_text(ask.cpu),
        each.collect::<Vec<_>>().join(", "),
        tally.unbound_spare()
    )
}

/// Nodes for a reclaimed pod: those with bound pods first, then those with most headroom. None is
/// impossible, since reclaimed work is suppressed where it is too much.
pub(super) fn reclaimed(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
) -> Result<Vec<Hint>, String> {
    let pools = pool::pools(input.layout, input.policy, tally, &pool::Held::default());
    let reclaim = pools.get(model::qos::PoolName::RECLAIM).map(|pool| pool.cpus);
    let mut rooms = Vec::new();
    for (node, sums) in input.layout.nodes.iter().zip(&tally.nodes) {
        let here = node.cpus.intersection(&reclaim.unwrap_or_default());
        let known = input.headroom.and_then(|all| all.get(&node.id).copied());
        let headroom = known.unwrap_or_else(|| MilliCpu::from_cpus(here.len() as u64));
        let left = i128::from(headroom.0) - i128::from(sums.reclaimed.0) - i128::from(ask.cpu.0);
        if node.n_cpus > 0 {
            rooms.push((sums.reclaimed.0 == 0, std::cmp::Reverse(headroom), node.id, left));
        }
    }
    rooms.sort_unstable();
    let hint = |(.., id, left): &(bool, std::cmp::Reverse<MilliCpu>, NumaNodeId, i128)| Hint {
        nodes: NumaSet::single(*id),
        preferred: *left >= 0,
    };
    let hints: Vec<Hint> = rooms.iter().map(hint).collect();
    if hints.is_empty() { Err("no NUMA node has a CPU".to_owned()) } else { Ok(hints) }
}
