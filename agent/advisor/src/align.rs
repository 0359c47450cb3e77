//! From the hints of several resources to one decision: the policies of kubelet's topology manager
//! (KEP-693, pkg/kubelet/cm/topologymanager) and Katalyst's numeric one.
//!
//! # Problem
//! CPU says node 0 or 1, memory says node 1, a device says node 1: only together is that an answer.
//!
//! # Units
//! Sets of NUMA nodes.
//!
//! # Approach
//! A resource that does not care is left out; one that is impossible refuses the pod. `merge` folds
//! the others one by one and keeps each different intermediate result once, so that the number of
//! hints multiplies no further than there are sets of nodes. A merged hint is the intersection; it is
//! preferred when all its parts are preferred and equal. The best is preferred, then narrow; among
//! those that nobody prefers, the one whose size is nearest to what the most demanding resource
//! needs. `numeric` keeps a set per resource instead, see there.
//!
//! # Worked example
//! CPU {0}T {1}T {0,1}F, memory {1}T {0,1}F: {1} with {1} is {1}, equal and preferred, and wins.
//!
//! # Limits
//! Over 64 nodes there are no hints, so there is nothing to merge.

mod numeric;

use std::collections::{BTreeMap, BTreeSet};

use model::NumaSet;
use model::placement::TopologyPolicy;

use crate::hint::{Hint, Hints};

pub use numeric::numeric;

/// Hints by resource name.
pub type Providers = BTreeMap<String, Hints>;

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The nodes of each resource that has hints.
    Admit(BTreeMap<String, Hint>),
    Refuse(String),
}

/// One decision for all resources.
pub fn decide(
    policy: TopologyPolicy,
    providers: &Providers,
    aligned: &BTreeSet<String>,
    all_nodes: NumaSet,
) -> Verdict {
    if let Some((resource, reason)) = impossible(providers) {
        return Verdict::Refuse(format!("{resource}: {reason}"));
    }
    if policy == TopologyPolicy::Numeric {
        return numeric(providers, aligned);
    }
    let best = merge(policy, providers, all_nodes);
    let strict = matches!(policy, TopologyPolicy::Restricted | TopologyPolicy::SingleNumaNode);
    if strict && !best.preferred {
        let nodes = best.nodes;
        return Verdict::Refuse(format!(
            "topology policy {}: the best common NUMA nodes are {nodes}, which not every resource \
             prefers",
            policy.name()
        ));
    }
    let caring = options(providers).map(|(name, _)| (name.clone(), best));
    Verdict::Admit(caring.collect())
}

fn impossible(providers: &Providers) -> Option<(&str, &str)> {
    providers.iter().find_map(|(name, hints)| match hints {
        Hints::Impossible(reason) => Some((name.as_str(), reason.as_str())),
        Hints::Options(options) if options.is_empty() => Some((name.as_str(), "no NUMA node")),
        _ => None,
    })
}

fn options(providers: &Providers) -> impl Iterator<Item = (&String, &Vec<Hint>)> {
    providers.iter().filter_map(|(name, hints)| match hints {
        Hints::Options(options) => Some((name, options)),
        Hints::DontCare | Hints::Impossible(_) => None,
    })
}

/// An intermediate result: the nodes so far, and, while all parts were preferred and equal, which.
type Partial = (NumaSet, Option<NumaSet>);

fn merge(policy: TopologyPolicy, providers: &Providers, all_nodes: NumaSet) -> Hint {
    let anywhere = Hint { nodes: all_nodes, preferred: true };
    let mut partials: BTreeSet<Partial> = BTreeSet::new();
    let mut widest_need = 0;
    for (_, options) in options(providers) {
        let single = policy == TopologyPolicy::SingleNumaNode;
        let usable = options.iter().filter(|hint| !single || hint.nodes.len() == 1);
        let usable: BTreeSet<Hint> = usable.copied().collect();
        let least = usable.iter().map(|hint| hint.nodes.len()).min().unwrap_or(0);
        widest_need = widest_need.max(least);
        partials = match partials.is_empty() && widest_need == least {
            true => usable.iter().map(first).collect(),
            false => partials.iter().flat_map(|p| usable.iter().map(|h| join(*p, h))).collect(),
        };
        partials.retain(|(nodes, _)| !nodes.is_empty());
        if partials.is_empty() {
            return Hint { nodes: all_nodes, preferred: false };
        }
    }
    let best = partials.into_iter().min_by_key(|partial| rank(*partial, widest_need));
    best.map_or(anywhere, |(nodes, same)| Hint { nodes, preferred: same.is_some() })
}

fn first(hint: &Hint) -> Partial {
    (hint.nodes, hint.preferred.then_some(hint.nodes))
}

fn join((nodes, same): Partial, hint: &Hint) -> Partial {
    let same = same.filter(|same| hint.preferred && *same == hint.nodes);
    (nodes.intersection(hint.nodes), same)
}

/// Smaller is better.
fn rank((nodes, same): Partial, need: usize) -> (bool, u8, usize, NumaSet) {
    let size = nodes.len();
    let (class, distance) = match (same.is_some(), size.cmp(&need)) {
        (true, _) => (0, size),
        (false, std::cmp::Ordering::Equal) => (0, 0),
        (false, std::cmp::Ordering::Greater) => (1, size - need),
        (false, std::cmp::Ordering::Less) => (2, need - size),
    };
    (same.is_none(), class, distance, nodes)
}

#[cfg(test)]
mod tests;
