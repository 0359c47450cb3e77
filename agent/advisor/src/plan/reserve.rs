//! Which CPUs are kept for the system. Owns the choice only; who may run there is `workloads`.

use model::plan::{Finding, Severity};
use model::policy::Reserve;
use model::{CpuId, CpuSet, Topology};

use super::{PlanInput, PlanReport};

/// The reserved CPUs that are online; empty when reserving them would leave no CPU at all.
pub(super) fn choose(input: &PlanInput<'_>, online: &CpuSet, report: &mut PlanReport) -> CpuSet {
    let (wanted, chosen) = match &input.policy.placement.reserve {
        Reserve::Count(count) => {
            let count = usize::from(*count);
            let room = online.len().saturating_sub(1);
            (count, spread(&input.snapshot.topology, count.min(room)))
        }
        Reserve::Cpus(cpus) => {
            let chosen = cpus.intersection(online);
            (cpus.len(), if online.is_subset(&chosen) { CpuSet::EMPTY } else { chosen })
        }
    };
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

/// One hyper-thread per NUMA node in turn, lowest ids first; a node's second turn takes the
/// sibling of its first, so that the reserve splits as few cores as it can.
pub(crate) fn spread(topology: &Topology, count: usize) -> CpuSet {
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
    in_turn.take(count).copied().collect()
}
