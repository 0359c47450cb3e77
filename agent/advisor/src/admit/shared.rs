//! Shared pods: room in the pool, or on one node.

use model::ledger::Place;
use model::pod::Ask;
use model::{MilliCpu, NumaSet};

use super::Refusal;
use crate::hint::{BoundRoom, PlacementInput};
use crate::tally::{self, Tally};

/// Whether the requests of all pods without binding fit what is not withheld.
pub(super) fn unbound(tally: &Tally, ask: &Ask) -> Result<(), Refusal> {
    let has = tally.unbound.len();
    let need = tally::need(&tally.pools, ask.cpu).max(1);
    if need <= has {
        return Ok(());
    }
    let resident = tally.pools.iter().map(|pool| pool.asked.0).fold(0, u64::saturating_add);
    Err(Refusal::SharedFull { resident: MilliCpu(resident), asked: ask.cpu, has })
}

/// Whether the one node has room.
pub(super) fn bound(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
    hint: NumaSet,
) -> Result<Place, Refusal> {
    let mut members = hint.iter();
    let (Some(node), None) = (members.next(), members.next()) else {
        return Err(Refusal::OneNode { hint });
    };
    let rooms = BoundRoom::all(input.layout, tally, ask);
    let Some(room) = rooms.iter().find(|room| room.id == node) else {
        let reason = format!("NUMA node {node} has no CPU or does not exist");
        return Err(Refusal::Impossible { reason });
    };
    if room.is_possible() {
        return Ok(Place::Node(node));
    }
    let fits = room.asked.0.saturating_add(ask.cpu.0) <= room.has.0 && room.has.0 > 0;
    if fits {
        let reason = format!(
            "NUMA node {node} is closed: a pod on it does not tolerate this one, or shared pods \
             without NUMA binding, which can give up {} CPUs, need its CPUs",
            tally.unbound_spare()
        );
        return Err(Refusal::Impossible { reason });
    }
    let (has, resident) = (room.has, room.asked);
    Err(Refusal::NodeFull { node: hint, has, resident, asked: ask.cpu })
}
