//! Puts what was decided into a `Tally` of requests: pools of isolated pods, sizes, and CPUs that
//! owners lend. The one place that turns a state back into numbers for `pool`.

use model::ledger::{Place, Resident};
use model::provision::{ProvisionState, ReclaimKnob};
use model::qos::PoolName;
use model::{CpuSet, MilliCpu};

use super::ProvisionInput;
use super::isolate::limit;
use super::region::{lender, name_of, owner_name, share_region};
use crate::take::{self, End};
use crate::tally::{PoolTally, Tally, entry, pool_of};

/// Moves isolated pods out of their pools.
pub(super) fn isolated(
    input: &ProvisionInput<'_>,
    mut tally: Tally,
    state: &ProvisionState,
) -> Tally {
    for (uid, _) in state.isolation.iter().filter(|(_, one)| one.isolated) {
        let resident = input.ledger.pods.get(uid);
        if let Some(resident) = resident.filter(|one| share_region(input, one).is_some()) {
            move_out(input, &mut tally, resident);
        }
    }
    tally
}

/// A pod that is the last of its pool stays.
fn move_out(input: &ProvisionInput<'_>, tally: &mut Tally, resident: &Resident) {
    let pools = match resident.place {
        Place::Node(node) => match input.layout.node_idx(node) {
            Some(idx) => &mut tally.nodes[idx].pools,
            None => return,
        },
        _ => &mut tally.pools,
    };
    let ask = &resident.ask;
    let name = pool_of(ask);
    let Some(pool) = pools.iter_mut().find(|pool| pool.name == name && pool.n_settled > 1) else {
        return;
    };
    pool.n_settled -= 1;
    pool.asked.0 = pool.asked.0.saturating_sub(ask.cpu.0);
    pool.sized.0 = pool.sized.0.saturating_sub(ask.cpu.0);
    let own = entry(pools, PoolName::isolation_of(&ask.uid));
    (own.asked, own.sized, own.n_settled) = (ask.cpu, ask.cpu, 1);
    own.upper = Some(limit(resident));
    tally.isolated.insert(ask.uid.clone());
}

/// Puts sizes into a tally from which isolated pods are out already. Without a measurement it stays
/// as it is.
pub(super) fn sized(input: &ProvisionInput<'_>, mut tally: Tally, state: &ProvisionState) -> Tally {
    tally.knob = state.knob;
    if state.knob == ReclaimKnob::Requests {
        return tally;
    }
    let nodes = input.layout.nodes.iter().zip(&mut tally.nodes);
    let bound = nodes.map(|(room, node)| (Some(room.id), &mut node.pools));
    for (node, pools) in bound.chain([(None, &mut tally.pools)]) {
        for pool in pools.iter_mut().filter(|pool| pool.upper.is_none()) {
            set_size(pool, state, &name_of(&pool.name, node));
        }
    }
    tally.lent = lent(input, state);
    tally
}

fn set_size(pool: &mut PoolTally, state: &ProvisionState, name: &PoolName) {
    let Some(held) = state.regions.get(name) else { return };
    // Whole CPUs: what was promised since the measurement comes on top as the next one counts it.
    let more = MilliCpu(pool.sized.0.saturating_sub(held.asked.0)).ceil_cpus();
    pool.sized = MilliCpu::from_cpus(u64::from(held.n_cpus).saturating_add(more));
}

/// What owners do not need, from the highest ids.
fn lent(input: &ProvisionInput<'_>, state: &ProvisionState) -> CpuSet {
    let mut lent = CpuSet::EMPTY;
    for resident in input.ledger.pods.values() {
        let Some(own) = lender(input, resident) else { continue };
        let Some(held) = state.regions.get(&owner_name(resident)) else { continue };
        let n = own.len().saturating_sub(usize::from(held.n_cpus).max(1));
        let spare = take::balanced(input.layout, &own, n, End::High).unwrap_or_default();
        lent = lent.union(&spare);
    }
    lent
}
