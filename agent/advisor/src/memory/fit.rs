//! Whether the memory that a pod asks for fits the nodes it may use.
//!
//! # Problem
//! `cpuset.mems` confines a pod to nodes. Requests that fit the machine may not fit those nodes, and
//! a pod that takes a node for itself leaves others less.
//!
//! # Units
//! Bytes.
//!
//! # Approach
//! With the pod in place, the requests of all pods that can be nowhere else than on the nodes of the
//! new pod must fit these nodes; and where it takes nodes away from pods without binding, theirs must
//! fit what stays. Reclaimed and system pods are not compared: the first live on what is left, the
//! second on the reserve.
//!
//! # Worked example
//! Two nodes of 64 GiB, shared pods without binding ask 100. A pod of 10 GiB bound to node 1 fits
//! node 1, but then the others have only node 0: 100 > 64, it is refused.
//!
//! # Limits
//! Where the kernel does not say how large a node is nothing is refused. What pods really use plays
//! no part.

use model::ledger::{Place, Resident};
use model::qos::QosLevel;
use model::{Bytes, NumaSet};

use crate::admit::Refusal;
use crate::hint::PlacementInput;
use crate::pool::mems_of;
use crate::tally::Tally;

/// Checks a pod at a place; `tally` counts the others.
pub(crate) fn check(
    input: &PlacementInput<'_>,
    tally: &Tally,
    resident: &Resident,
) -> Result<(), Refusal> {
    let exempt = resident.place == Place::Anywhere || !counts(resident);
    if !input.policy.check_memory || exempt {
        return Ok(());
    }
    let tally = tally.clone().with(input.layout, resident, input.now);
    let own = mems_of(input.layout, &tally, resident);
    let asked = resident.ask.memory;
    room(input, &tally, resident, own, asked)?;
    if resident.place == Place::Pool {
        return Ok(());
    }
    let unbound = |one: &&Resident| counts(one) && one.place == Place::Pool;
    let mut others = input.ledger.pods.values().filter(|one| one.ask.uid != resident.ask.uid);
    let Some(other) = others.find(unbound) else { return Ok(()) };
    let theirs = mems_of(input.layout, &tally, other);
    room(input, &tally, resident, theirs, Bytes(if own.is_subset(theirs) { asked.0 } else { 0 }))
}

fn counts(resident: &Resident) -> bool {
    matches!(resident.ask.level, QosLevel::SharedCores | QosLevel::DedicatedCores)
}

/// Whether `asked` and all who can be nowhere else fit these nodes.
fn room(
    input: &PlacementInput<'_>,
    tally: &Tally,
    new: &Resident,
    nodes: NumaSet,
    asked: Bytes,
) -> Result<(), Refusal> {
    let Some(has) = input.layout.memory_of(nodes) else { return Ok(()) };
    let others = input.ledger.pods.values().filter(|one| one.ask.uid != new.ask.uid);
    let here = others
        .filter(|one| counts(one) && mems_of(input.layout, tally, one).is_subset(nodes))
        .map(|one| one.ask.memory.0);
    let resident = Bytes(here.fold(0, u64::saturating_add));
    if resident.0.saturating_add(asked.0) <= has.0 {
        return Ok(());
    }
    Err(Refusal::NodeMemory { nodes, resident, asked: new.ask.memory, has })
}
