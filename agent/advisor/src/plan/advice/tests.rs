//! What of a Snapshot placement gets to see; missing and too old each have a row.

use super::*;
use crate::testkit::*;

/// Nodes of a gibibyte; `batch`: what each reclaimed workload has by node, and the age of that.
#[track_caller]
fn check_reclaimed(n_nodes: u16, batch: &[(&[u64], Option<u64>)], expect: &[Option<u64>]) {
    let named: Vec<String> = (0..batch.len()).map(|n| format!("b{n}")).collect();
    let mut all = vec![("web", shared(1, 1000, None))];
    for (name, (used, age_s)) in named.iter().zip(batch) {
        let mut view = crate::testkit::batch(2);
        view.memory_current = used.iter().copied().reduce(|a, b| a + b).map(Bytes);
        let nodes = used.iter().enumerate();
        view.memory.per_node =
            nodes.map(|(id, used)| (NumaNodeId(id as u16), Bytes(*used))).collect();
        view.memory.per_node_health.age = age_s.map(Nanos::from_secs);
        all.push((name, view));
    }
    let mut node = snapshot(1, machine(n_nodes, 2, 1), all);
    let total = NodeMemory { total: Bytes(1 << 30), free: Bytes(1 << 29), ..NodeMemory::default() };
    node.host.memory = (0..n_nodes).map(|id| (NumaNodeId(id), total)).collect();
    let memory = measured(&node).memory;
    let used: Vec<Option<u64>> =
        memory.values().map(|node| node.reclaimed_used.map(|used| used.0)).collect();
    assert_eq!(used, expect, "{batch:?}");
}

#[test]
fn reclaimed_memory_is_summed_by_node() {
    check_reclaimed(2, &[(&[5, 7], Some(1)), (&[1, 0], Some(9))], &[Some(6), Some(7)]);
    check_reclaimed(2, &[], &[Some(0), Some(0)]);
    check_reclaimed(3, &[(&[1, 2, 3], Some(30))], &[Some(1), Some(2), Some(3)]);
    // one node: the group's own sum, whatever the file says
    check_reclaimed(1, &[(&[5], None), (&[2], None)], &[Some(7)]);
    check_reclaimed(1, &[(&[], None)], &[None]);
    // never read, too old, a node that it does not tell of
    check_reclaimed(2, &[(&[5, 7], Some(1)), (&[], None)], &[None, None]);
    check_reclaimed(2, &[(&[5, 7], Some(31))], &[None, None]);
    check_reclaimed(3, &[(&[5, 7], Some(1))], &[Some(5), Some(7), None]);
}

#[test]
fn runnable_tasks_are_not_known_under_a_distorted_signal() {
    let mut view = waiting(shared(1, 1000, None), 10, caused_by_own_group(1));
    view.runq = view.runq.map(|mut runq| {
        runq.runnable = Some(3.5);
        runq
    });
    let mut node = snapshot(1, machine(1, 2, 1), vec![("web", view)]);
    let runnable = |node: &Snapshot| measured(node).pods["web"].runnable;
    assert_eq!(runnable(&node), Some(3.5));
    node.signal = Signal::Degraded { why: "steal".to_owned() };
    assert_eq!(runnable(&node), None);
}
