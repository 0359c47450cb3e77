//! Spreading over NUMA nodes: cores or threads, one node after the other.

use model::{CpuId, CpuSet};

use super::{End, TooFew, by_kind, check};
use crate::layout::Layout;

/// `n` of the free CPUs, a whole core of each node in turn, then a thread of each.
pub fn balanced(layout: &Layout, free: &CpuSet, n: usize, end: End) -> Result<CpuSet, TooFew> {
    let free = free.intersection(&layout.online);
    check(&free, n)?;
    Ok(by_kind(layout, &free, n, end, |free, n| {
        if n == free.len() {
            return *free;
        }
        let cores = whole_cores(layout, free, n, end);
        let rest = free.difference(&cores);
        cores.union(&threads(layout, &rest, n - cores.len(), end))
    }))
}

/// `n` of the free CPUs, a thread of each node in turn.
pub fn threads_balanced(
    layout: &Layout,
    free: &CpuSet,
    n: usize,
    end: End,
) -> Result<CpuSet, TooFew> {
    let free = free.intersection(&layout.online);
    check(&free, n)?;
    Ok(by_kind(layout, &free, n, end, |free, n| threads(layout, free, n, end)))
}

/// Up to `n` CPUs in whole free cores.
fn whole_cores(layout: &Layout, free: &CpuSet, n: usize, end: End) -> CpuSet {
    let mut queues: Vec<Vec<&[CpuId]>> = vec![Vec::new(); layout.nodes.len()];
    for core in &layout.cores {
        if core.threads.len() <= n && core.threads.iter().all(|cpu| free.contains(*cpu)) {
            queues[core.node].push(&core.threads);
        }
    }
    let mut taken = CpuSet::EMPTY;
    let mut missing = n;
    for threads in in_turn(queues, end) {
        if threads.len() <= missing {
            threads.iter().for_each(|cpu| _ = taken.insert(*cpu));
            missing -= threads.len();
        }
    }
    taken
}

fn threads(layout: &Layout, free: &CpuSet, n: usize, end: End) -> CpuSet {
    if n == 0 {
        return CpuSet::EMPTY;
    }
    let of_node = |node: &crate::layout::Node| node.cpus.intersection(free).iter().collect();
    let queues: Vec<Vec<CpuId>> = layout.nodes.iter().map(of_node).collect();
    in_turn(queues, end).take(n).collect()
}

/// The first of each queue, then the second of each, and so on; from `End::High` both the queues and
/// what is in them run backwards.
fn in_turn<T: Copy>(mut queues: Vec<Vec<T>>, end: End) -> impl Iterator<Item = T> {
    if end == End::High {
        queues.reverse();
        queues.iter_mut().for_each(|queue| queue.reverse());
    }
    let deepest = queues.iter().map(Vec::len).max().unwrap_or(0);
    (0..deepest).flat_map(move |turn| {
        let row: Vec<T> = queues.iter().filter_map(|queue| queue.get(turn).copied()).collect();
        row
    })
}
