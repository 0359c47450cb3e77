//! Whether a pod may come, and what it is promised.
//!
//! # Problem
//! One function of (machine, policy, residents) answers the kubelet, the runtime and the simulator,
//! so that a decision can be checked at a desk. It refuses only what is impossible, and says why in
//! numbers.
//!
//! # Units
//! Requests in thousandths of a CPU, promises in whole CPUs.
//!
//! # Approach
//! - `shared_cores`: promised is room in the pool. All requests of pods without NUMA binding must fit
//!   the CPUs that are not withheld. A new pod first runs on all of those CPUs (*ramp-up*), since
//!   nobody knows yet what it uses. The ramp-up ends a fixed time after admission, whatever happens
//!   meanwhile, and moves no pool: other systems shrink reclaimed work whenever a pod starts.
//! - `shared_cores` with binding: room on exactly one node.
//! - `dedicated_cores`: CPUs of its own; whole nodes if exclusive, equal parts of each node if evenly
//!   distributed, else packed. Without binding they may be anywhere.
//! - `reclaimed_cores`: never refused for CPU. Binding is granted as long as one node stays for those
//!   that are not bound.
//! - `system_cores`: the named pool, or every CPU.
//!
//! Containers of a pod share its place; init containers get nothing, they are over before.
//!
//! # Worked example
//! 14 usable CPUs, shared pods ask 11.5. A pod of 2.5 comes: 14 fits 14. One of 2.6: ceil(14.1) = 15
//! does not, and the refusal carries 11.500, 2.600 and 14.
//!
//! # Limits
//! `full_pcpus_pairing` and `align_by_socket` of a dedicated pod without binding are not checked: it is
//! packed, which does both where it can. Hints do not look at memory: a set of nodes may be offered
//! and refused (`memory::fit`).

mod dedicated;
mod pairing;
mod refusal;
mod resize;
mod shared;

use std::collections::{BTreeMap, BTreeSet};

use model::decision::Decision;
use model::ledger::{Ledger, Place, Remembered, Resident};
use model::pod::Ask;
use model::qos::{PodUid, PoolName, QosLevel};
use model::{CpuSet, NumaNodeId, NumaSet};

use crate::align::{self, Verdict};
use crate::hint::{self, Hints, PlacementInput};
use crate::memory;
use crate::pool::{self, Placement};
use crate::tally::Tally;

pub use refusal::Refusal;
pub use resize::resize;

/// A pod that may come (or stay).
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// To be put into the ledger.
    pub resident: Resident,
    pub decision: Decision,
}

/// Decides about a new pod. `given` is the NUMA set that a kubelet chose from the hints; without one
/// the policy chooses. A pod that is here already gets the same answer again.
pub fn admit(
    input: &PlacementInput<'_>,
    ask: &Ask,
    given: Option<NumaSet>,
) -> Result<Admission, Refusal> {
    if let Some(resident) = input.ledger.pods.get(&ask.uid) {
        return again(input, resident, ask);
    }
    check_memory(input, ask)?;
    let tally = Tally::of(input.layout, input.ledger, None, input.now);
    let place = place(input, &tally, ask, given)?;
    let starts = ask.level == QosLevel::SharedCores && !ask.running && place != Place::Anywhere;
    let ramp_until = starts.then(|| input.now.after(input.policy.ramp_up));
    let resident = Resident { ask: ask.clone(), place, ramp_until };
    memory::fit::check(input, &tally, &resident)?;
    let decision = explain(input, &tally, &resident, "admit");
    Ok(Admission { resident, decision })
}

/// Where a pod of the ledger runs now. Compute `Tally` and pools once for many pods.
pub fn placement_of(input: &PlacementInput<'_>, resident: &Resident) -> Placement {
    let tally = Tally::of(input.layout, input.ledger, Some(&resident.ask), input.now);
    let tally = tally.with(input.layout, resident, input.now);
    let shared = resident.ask.level == QosLevel::SharedCores;
    let pools = match resident.place {
        // Owners and new pods need no pools, bound ones those of their node.
        Place::Own { .. } | Place::Anywhere => pool::Pools::new(),
        Place::Pool if shared && resident.is_ramping(input.now) => pool::Pools::new(),
        Place::Node(node) if shared => pool::bound_pools(input.layout, input.policy, &tally, node),
        _ => pool::pools(input.layout, input.policy, &tally, &pool::Held::default()),
    };
    pool::placement(input.layout, &tally, &pools, resident, input.now)
}

/// CPUs by node, as in the answer to a kubelet.
pub fn per_node(input: &PlacementInput<'_>, cpus: &CpuSet) -> BTreeMap<NumaNodeId, CpuSet> {
    input.layout.per_node(cpus)
}

/// Takes a pod out of the ledger, and remembers the nodes of an exclusive one for its successor.
pub fn remove(
    input: &PlacementInput<'_>,
    ledger: &mut Ledger,
    uid: &PodUid,
) -> Result<Resident, Refusal> {
    let unknown = || Refusal::Unknown { uid: uid.clone() };
    let resident = ledger.pods.remove(uid).ok_or_else(unknown)?;
    ledger.remembered.retain(|_, it| input.now < it.until);
    if let (Place::Own { nodes, .. }, true) = (resident.place, resident.ask.wish.numa_exclusive) {
        let until = input.now.after(input.policy.pre_occupation);
        ledger.remembered.insert(Resident::lineage(&resident.ask), Remembered { nodes, until });
    }
    Ok(resident)
}

fn again(input: &PlacementInput<'_>, resident: &Resident, ask: &Ask) -> Result<Admission, Refusal> {
    let same = Ask { running: resident.ask.running, ..ask.clone() } == resident.ask;
    if !same {
        return Err(Refusal::Changed { uid: ask.uid.clone() });
    }
    let tally = Tally::of(input.layout, input.ledger, Some(ask), input.now);
    let decision = explain(input, &tally, resident, "admit-again");
    Ok(Admission { resident: resident.clone(), decision })
}

fn check_memory(input: &PlacementInput<'_>, ask: &Ask) -> Result<(), Refusal> {
    match input.layout.memory {
        Some(has) if ask.memory > has => Err(Refusal::Memory { asked: ask.memory, has }),
        _ => Ok(()),
    }
}

fn place(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
    given: Option<NumaSet>,
) -> Result<Place, Refusal> {
    if ask.directives.skip_admission {
        return Ok(Place::Anywhere);
    }
    match ask.level {
        QosLevel::SystemCores => Ok(Place::Pool),
        QosLevel::SharedCores if ask.wish.numa_binding => {
            let nodes = nodes(input, tally, ask, given)?;
            shared::bound(input, tally, ask, nodes)
        }
        QosLevel::SharedCores => shared::unbound(tally, ask).map(|()| Place::Pool),
        QosLevel::ReclaimedCores => reclaimed(input, tally, ask, given),
        QosLevel::DedicatedCores if ask.wish.numa_binding => {
            let nodes = nodes(input, tally, ask, given)?;
            dedicated::on_nodes(input, tally, ask, nodes)
        }
        QosLevel::DedicatedCores => dedicated::anywhere(input, tally, ask),
    }
}

/// The nodes of a pod with binding: those that were given, else those the topology policy chooses.
fn nodes(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
    given: Option<NumaSet>,
) -> Result<NumaSet, Refusal> {
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        return Ok(given);
    }
    let hints = match hint::hints_with(input, tally, ask) {
        Hints::Impossible(reason) => return Err(Refusal::Impossible { reason }),
        hints => hints,
    };
    let cpu = "cpu".to_owned();
    let providers = BTreeMap::from([(cpu.clone(), hints)]);
    let all = input.layout.nodes_with_cpus();
    let aligned: &BTreeSet<String> = &input.policy.align_resources;
    match align::decide(input.policy.topology, &providers, aligned, all) {
        Verdict::Refuse(reason) => Err(Refusal::Impossible { reason }),
        Verdict::Admit(chosen) => Ok(chosen.get(&cpu).map_or(all, |hint| hint.nodes)),
    }
}

/// Binding of a reclaimed pod is a favour: where it cannot be granted the pod runs unbound.
fn reclaimed(
    input: &PlacementInput<'_>,
    tally: &Tally,
    ask: &Ask,
    given: Option<NumaSet>,
) -> Result<Place, Refusal> {
    if !ask.wish.numa_binding || !input.policy.reclaim_numa_binding {
        return Ok(Place::Pool);
    }
    let all = input.layout.nodes_with_cpus();
    let nodes = nodes(input, tally, ask, given)?;
    if !nodes.is_subset(all) {
        let reason = format!("NUMA nodes {nodes} are not among those with CPUs, {all}");
        return Err(Refusal::Impossible { reason });
    }
    let unbound = all.difference(tally.reclaim_bound.union(nodes));
    let mut members = nodes.iter();
    match (members.next(), members.next(), unbound.is_empty()) {
        (Some(node), None, false) => Ok(Place::Node(node)),
        (Some(node), None, true) if tally.reclaim_bound.contains(node) => Ok(Place::Node(node)),
        _ => Ok(Place::Pool),
    }
}

fn explain(
    input: &PlacementInput<'_>,
    tally: &Tally,
    resident: &Resident,
    rule: &'static str,
) -> Decision {
    let ask = &resident.ask;
    let result = match resident.place {
        Place::Own { cpus, nodes } if nodes.is_empty() => format!("CPUs {cpus} of its own"),
        Place::Own { cpus, nodes } => format!("CPUs {cpus} of its own on NUMA nodes {nodes}"),
        Place::Node(node) => format!("in its pool on NUMA node {node}"),
        Place::Pool if resident.is_ramping(input.now) => {
            let ms = input.policy.ramp_up.0 / 1_000_000;
            format!("on all CPUs that are not withheld for {ms} ms, then in its pool")
        }
        Place::Pool => "in its pool".to_owned(),
        Place::Anywhere => "without an allocation".to_owned(),
    };
    Decision {
        at: input.now,
        rule,
        subject: ask.name.to_string(),
        inputs: vec![
            ("level", ask.level.to_string()),
            ("request", format!("{} mCPU", ask.cpu)),
            ("free", format!("{} CPUs", tally.free.len())),
            ("unbound", format!("{} CPUs", tally.unbound.len())),
            ("unbound_need", format!("{} CPUs", tally.unbound_need())),
        ],
        result,
    }
}

/// The name that stands for no pool in answers.
pub const NO_POOL: &str = "";

/// The pool of a placement as it stands in answers: empty while a pod is in none.
pub fn pool_text(placement: &Placement) -> &str {
    placement.pool.as_ref().map_or(NO_POOL, PoolName::as_str)
}

#[cfg(test)]
mod tests;
