//! What a pod has of one NUMA node for itself. Pure: owns who counts, for every object that tells of zones.

use model::NumaNodeId;
use model::cpuset::CpuSet;
use model::ledger::{Place, Resident};
use model::numa::NumaSet;

use super::promised::Amounts;

/// CPU and memory that a pod with CPUs or a NUMA node of its own has of `node`, whose CPUs are `cpus`. Whoever shares has no part; memory is
/// zero where none was promised there.
pub(super) fn part(resident: &Resident, node: NumaNodeId, cpus: &CpuSet) -> Option<Amounts> {
    let ask = &resident.ask;
    let (milli_cpu, nodes) = match resident.place {
        Place::Own { cpus: own, nodes } => (own.intersection(cpus).len() as u64 * 1000, nodes),
        Place::Node(of) if of == node => (ask.cpu.0, NumaSet::single(of)),
        Place::Node(_) | Place::Pool | Place::Anywhere => return None,
    };
    let is_bound = nodes.contains(node);
    let memory = if is_bound { ask.memory.0 / nodes.len() as u64 } else { 0 };
    (milli_cpu > 0 || is_bound).then_some(Amounts { milli_cpu, memory })
}
