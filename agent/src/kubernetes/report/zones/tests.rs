//! What is told of a NUMA node, by who lives there.

use std::sync::Arc;

use expect_test::expect_file;
use model::ledger::Place;
use model::plan::Plan;
use model::snapshot::Snapshot;
use model::topology::Topology;
use model::{Bytes, NumaNodeId, NumaSet};

use super::super::pace::{Pace, Result};
use super::super::tests::{resident, state};
use super::*;

#[test]
fn a_node_as_the_schedulers_plugin_reads_it() {
    let object = zones("n1", "u1", &state()).object();
    let text = serde_json::to_string_pretty(&object).expect("json") + "\n";
    expect_file!["../zones.json"].assert_eq(&text);
}

/// Two nodes of one CPU and 1 KiB, without a reserve.
fn with(pods: &[(&str, u64, u64, QosLevel, Place)]) -> NodeState {
    let state = state();
    let mut topology = Topology::clone(&state.snapshot.topology);
    topology.nodes.values_mut().for_each(|node| node.memory = Some(Bytes(1024)));
    let pods = pods.iter().map(|(name, cpu, memory, level, place)| {
        let (uid, mut one) = resident(name, *cpu, *memory, *place);
        one.ask.level = *level;
        (uid, one)
    });
    let ledger = model::ledger::Ledger { pods: pods.collect(), ..Default::default() };
    let plan = Plan { ledger: ledger.into(), ..Plan::default() };
    let snapshot = Snapshot { topology: Arc::new(topology), ..Snapshot::clone(&state.snapshot) };
    NodeState { plan: plan.into(), snapshot: snapshot.into(), ..state }
}

/// What is available: CPU and memory of node 0, then of node 1.
#[track_caller]
fn check(pods: &[(&str, u64, u64, QosLevel, Place)], expect: [&str; 4]) {
    let object = zones("n", "u", &with(pods)).object();
    let at = |zone: u32, resource: u32| {
        let place = format!("/zones/{zone}/resources/{resource}/available");
        object.pointer(&place).and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
    };
    assert_eq!([at(0, 0), at(0, 1), at(1, 0), at(1, 1)], expect, "{pods:?}");
}

#[test]
fn what_somebody_owns_is_not_available() {
    use QosLevel::{DedicatedCores, ReclaimedCores, SharedCores};
    let node = NumaNodeId;
    let own = |cpus: &str, nodes| Place::Own { cpus: cpus.parse().expect("a list"), nodes };
    let both: NumaSet = [node(0), node(1)].into_iter().collect();
    check(&[], ["1", "1024", "1", "1024"]);
    let bound = own("1", NumaSet::single(node(1)));
    check(&[("a", 1000, 100, DedicatedCores, bound)], ["1", "1024", "0", "924"]);
    // Without binding its memory may be anywhere.
    check(
        &[("a", 1000, 100, DedicatedCores, own("0", NumaSet::EMPTY))],
        ["0", "1024", "1", "1024"],
    );
    check(&[("a", 2000, 100, DedicatedCores, own("0-1", both))], ["0", "974", "0", "974"]);
    check(&[("a", 250, 24, SharedCores, Place::Node(node(0)))], ["750m", "1000", "1", "1024"]);
    check(&[("a", 250, 24, SharedCores, Place::Pool)], ["1", "1024", "1", "1024"]);
    check(&[("a", 250, 24, ReclaimedCores, Place::Node(node(0)))], ["1", "1024", "1", "1024"]);
    // More was promised than there is.
    let near = |name| (name, 700, 700, SharedCores, Place::Node(node(0)));
    check(&[near("a"), near("b")], ["0", "0", "1", "1024"]);
}

#[test]
fn what_a_node_does_not_have_is_not_told() {
    let mut state = with(&[]);
    let mut topology = Topology::clone(&state.snapshot.topology);
    topology.cpus.retain(|_, cpu| cpu.node != NumaNodeId(1));
    topology.nodes.values_mut().for_each(|node| node.memory = None);
    state.snapshot =
        Snapshot { topology: Arc::new(topology), ..Snapshot::clone(&state.snapshot) }.into();
    let object = zones("n", "u", &state).object();
    let names = |zone: &str| object.pointer(zone).map(Value::to_string).unwrap_or_default();
    assert!(names("/zones/0/resources").contains("cpu"));
    assert_eq!(names("/zones/1/resources"), "[]");
    assert!(!object.to_string().contains("memory"));
}

/// A minute in which measurements change and nobody comes or goes: no write. One who goes is told of after five seconds.
#[test]
fn a_quiet_minute_has_no_writes() {
    let at = |second: u64| model::Timestamp(second * 1_000_000_000);
    let mut pace = Pace::default();
    pace.wrote(at(0), zones("n1", "u1", &state()), Result::Taken, 0);
    let mut busy = state();
    let mut snapshot = Snapshot::clone(&busy.snapshot);
    snapshot.host.cpu_busy_ratio.values_mut().for_each(|ratio| *ratio = 0.9);
    busy.snapshot = snapshot.into();
    let still = zones("n1", "u1", &busy);
    assert!((1..240).all(|second| !pace.is_due(at(second), &still)));
    assert!(pace.is_due(at(240), &still));
    let changed = zones("n1", "u1", &with(&[]));
    assert!(!pace.is_due(at(4), &changed) && pace.is_due(at(5), &changed));
}
