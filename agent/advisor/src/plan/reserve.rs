//! Which CPUs are kept for the system. Owns the choice only; who may run there is `workloads`.

use model::placement::PlacementPolicy;
use model::plan::{Finding, Severity};
use model::policy::Reserve;
use model::{CpuId, CpuSet, Topology};

use super::{PlanInput, PlanReport};

/// The reserved CPUs that are online; empty when reserving them would leave no CPU at all.
pub(super) fn choose(input: &PlanInput<'_>, online: &CpuSet, report: &mut PlanReport) -> CpuSet {
    let placement = &input.policy.placement;
    let wanted = match &placement.reserve {
        Reserve::Count(count) => usize::from(*count).max(placement.kept.len()),
        Reserve::Cpus(cpus) => cpus.union(&placement.kept).len(),
    };
    let room = online.len().saturating_sub(1);
    let chosen = of(&input.snapshot.topology, placement, room);
    let chosen = if online.is_subset(&chosen) { CpuSet::EMPTY } else { chosen };
    if chosen.len() < wanted {
        report.findings.push(Finding {
            severity: Severity::Warning,
            rule: "reserve-short",
            subject: "reserve".to_owned(),
            message: format!(
                "{wanted} CPUs should be reserved, {} are ({} online, one must stay usable)",
                chosen.len(),
                online.len()
            ),
        });
    }
    chosen
}

/// What policy reserves, of a count at most `most`, and what the kubelet keeps; of those that are online.
pub(crate) fn of(topology: &Topology, placement: &PlacementPolicy, most: usize) -> CpuSet {
    let online = topology.online();
    let kept = placement.kept.intersection(&online);
    let more = match &placement.reserve {
        Reserve::Count(count) => {
            let count = usize::from(*count).min(most).saturating_sub(kept.len());
            spread(topology, count, &kept)
        }
        Reserve::Cpus(cpus) => cpus.intersection(&online),
    };
    kept.union(&more)
}

/// One hyper-thread per NUMA node in turn, lowest ids first; a node's second turn takes the
/// sibling of its first, so that the reserve splits as few cores as it can. None of those that are
/// kept already.
fn spread(topology: &Topology, count: usize, kept: &CpuSet) -> CpuSet {
    if count == 0 {
        return CpuSet::EMPTY;
    }
    let mut queues: Vec<Vec<CpuId>> = topology.nodes.keys().map(|_| Vec::new()).collect();
    let rank: Vec<_> = topology.nodes.keys().copied().collect();
    for threads in topology.cores().values() {
        let node = threads.first().and_then(|cpu| topology.node_of(cpu));
        let Some(idx) = node.and_then(|node| rank.binary_search(&node).ok()) else { continue };
        queues[idx].extend(threads.iter());
    }
    let deepest = queues.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn =
        (0..deepest).flat_map(|turn| queues.iter().filter_map(move |queue| queue.get(turn)));
    in_turn.copied().filter(|cpu| !kept.contains(*cpu)).take(count).collect()
}
