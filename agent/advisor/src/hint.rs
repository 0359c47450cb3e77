//! On which sets of NUMA nodes a pod could be placed, and which of them are as good as it gets.
//!
//! # Problem
//! CPUs, memory and devices of a pod must meet on the same nodes, so each says where it could be
//! served before anybody decides. "Anywhere" and "nowhere" are different answers.
//!
//! # Units
//! Requests in thousandths of a CPU, nodes in whole CPUs.
//!
//! # Approach
//! Dedicated pods with NUMA binding (`dedicated`): every set of nodes, small ones first, that has
//! the CPUs and keeps the wishes of the pod; sets that cross sockets only where no set within one
//! will do. Without `numa_exclusive` the set has exactly one node, or as many as `numa_number` or
//! `numa_ids` say. Shared pods with binding (`bound`): single nodes with room, preferred by policy.
//! Reclaimed ones: every node, preferred where the node's headroom is enough. All others do not care.
//! A node that would leave pods without binding less than they asked for is not offered.
//!
//! # Worked example
//! Four nodes of 4 CPUs, two per socket, CPUs 0 and 2 reserved: 3, 3, 4, 4 available. A dedicated
//! exclusive pod of 7: one node is too small; {0,1} has 6; {2,3} has 8; {0,2} crosses sockets. With
//! `align_by_socket` {2,3} is the only answer, since larger sets touch both sockets.
//!
//! # Limits
//! Distances beyond the socket play no part. Over 16 nodes only the two smallest sizes are listed,
//! and never more than 65536 sets are looked at.

mod bound;
mod dedicated;
mod subsets;

use std::collections::BTreeMap;

use model::ledger::{Ledger, Place, Resident};
use model::placement::PlacementPolicy;
use model::pod::Ask;
use model::qos::QosLevel;
use model::{MilliCpu, NumaNodeId, NumaSet, Timestamp};

use crate::layout::Layout;
use crate::tally::Tally;

pub(crate) use bound::BoundRoom;
pub(crate) use dedicated::Rooms;

/// Where a pod could be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hints {
    /// No preference.
    DontCare,
    /// Nowhere, with the numbers.
    Impossible(String),
    /// Smaller sets first, then by ids; never empty.
    Options(Vec<Hint>),
}

/// One possible set of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hint {
    pub nodes: NumaSet,
    pub preferred: bool,
}

/// Everything hints and admission depend on.
#[derive(Clone, Copy, Debug)]
pub struct PlacementInput<'a> {
    pub now: Timestamp,
    pub layout: &'a Layout,
    pub policy: &'a PlacementPolicy,
    pub ledger: &'a Ledger,
    /// What reclaimed work may take per node; without it the node's part of the reclaim pool.
    pub headroom: Option<&'a BTreeMap<NumaNodeId, MilliCpu>>,
}

/// Where a pod could be placed now.
pub fn hints(input: &PlacementInput<'_>, ask: &Ask) -> Hints {
    if let Some(resident) = input.ledger.pods.get(&ask.uid) {
        return standing(resident);
    }
    let tally = Tally::of(input.layout, input.ledger, None, input.now);
    hints_with(input, &tally, ask)
}

/// A pod that is here keeps its place.
fn standing(resident: &Resident) -> Hints {
    let nodes = match resident.place {
        Place::Own { nodes, .. } => nodes,
        Place::Node(node) => NumaSet::single(node),
        Place::Pool | Place::Anywhere => NumaSet::EMPTY,
    };
    match nodes.is_empty() {
        true => Hints::DontCare,
        false => Hints::Options(vec![Hint { nodes, preferred: true }]),
    }
}

pub(crate) fn hints_with(input: &PlacementInput<'_>, tally: &Tally, ask: &Ask) -> Hints {
    if !ask.wish.numa_binding || ask.directives.skip_admission {
        return Hints::DontCare;
    }
    let found = match ask.level {
        QosLevel::DedicatedCores => Rooms::new(input.layout, tally, ask).and_then(|r| r.options()),
        QosLevel::SharedCores => bound::shared(input, tally, ask),
        QosLevel::ReclaimedCores if input.policy.reclaim_numa_binding => {
            bound::reclaimed(input, tally, ask)
        }
        QosLevel::ReclaimedCores | QosLevel::SystemCores => return Hints::DontCare,
    };
    match found {
        Ok(options) => Hints::Options(remembered(input, ask, options)),
        Err(reason) => Hints::Impossible(reason),
    }
}

/// Nodes that a scheduler bound the pod to, or that an exclusive predecessor held, are the only
/// preferred ones where they are possible at all.
fn remembered(input: &PlacementInput<'_>, ask: &Ask, mut options: Vec<Hint>) -> Vec<Hint> {
    let before = input.ledger.remembered.get(&Resident::lineage(ask));
    let before = before.filter(|it| ask.wish.numa_exclusive && input.now < it.until);
    let wanted = ask.directives.numa_bind_result.or_else(|| before.map(|it| it.nodes));
    if let Some(wanted) = wanted
        && options.iter().any(|hint| hint.nodes == wanted)
    {
        for hint in &mut options {
            hint.preferred = hint.nodes == wanted;
        }
    }
    options
}

#[cfg(test)]
mod tests;
