//! In-place resize: the same pod with other requests, without a restart. Owns what may change; room
//! is judged as at admission, with the pod itself left out.

use model::ledger::{Place, Resident};
use model::pod::Ask;
use model::qos::QosLevel;

use super::{Admission, Refusal, check_memory, dedicated, explain, shared};
use crate::hint::{PlacementInput, Rooms};
use crate::memory;
use crate::tally::Tally;

/// Decides about new requests of a pod that is here. A dedicated pod keeps its CPUs and gets more, or
/// gives some back, on the nodes it has.
pub fn resize(input: &PlacementInput<'_>, ask: &Ask) -> Result<Admission, Refusal> {
    let unknown = || Refusal::Unknown { uid: ask.uid.clone() };
    let before = input.ledger.pods.get(&ask.uid).ok_or_else(unknown)?;
    check_fixed(&before.ask, ask)?;
    check_memory(input, ask)?;
    let tally = Tally::of(input.layout, input.ledger, Some(ask), input.now);
    let place = place(input, &tally, before, ask)?;
    let resident = Resident { ask: ask.clone(), place, ramp_until: before.ramp_until };
    memory::fit::check(input, &tally, &resident)?;
    let decision = explain(input, &tally, &resident, "resize");
    Ok(Admission { resident, decision })
}

/// Level and wishes are what the place was chosen for.
fn check_fixed(before: &Ask, now: &Ask) -> Result<(), Refusal> {
    if before.level != now.level {
        let (before, now) = (before.level.to_string(), now.level.to_string());
        return Err(Refusal::Fixed { what: "the QoS level", before, now });
    }
    if before.wish != now.wish {
        let (before, now) = (format!("{:?}", before.wish), format!("{:?}", now.wish));
        return Err(Refusal::Fixed { what: "an enhancement", before, now });
    }
    Ok(())
}

fn place(
    input: &PlacementInput<'_>,
    tally: &Tally,
    before: &Resident,
    ask: &Ask,
) -> Result<Place, Refusal> {
    match (before.place, ask.level) {
        (Place::Own { cpus, nodes }, _) if nodes.is_empty() => {
            let cpus = dedicated::choose_anywhere(input, tally, ask, &cpus)?;
            Ok(Place::Own { cpus, nodes })
        }
        (Place::Own { cpus, nodes }, _) => {
            let impossible = |reason| Refusal::Impossible { reason };
            let rooms = Rooms::new(input.layout, tally, ask).map_err(impossible)?;
            rooms.check(nodes).map_err(impossible)?;
            let cpus = dedicated::choose(input, tally, ask, nodes, &cpus)?;
            Ok(Place::Own { cpus, nodes })
        }
        (Place::Node(node), QosLevel::SharedCores) => {
            shared::bound(input, tally, ask, model::NumaSet::single(node))
        }
        (Place::Pool, QosLevel::SharedCores) => {
            shared::unbound(tally, ask)?;
            Ok(Place::Pool)
        }
        (place, _) => Ok(place),
    }
}
