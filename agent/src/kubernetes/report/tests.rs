//! The objects that the apiserver is sent, whole, and the events of pods.

use std::collections::BTreeSet;

use expect_test::expect_file;
use model::ledger::{Ledger, Place, Resident};
use model::measured::NodeMemory;
use model::plan::{Finding, Plan, PoolPlan, Severity};
use model::pod::{Ask, Declared, DeclaredPod, Pod};
use model::qos::{PodUid, PoolName, QosLevel, WorkloadName};
use model::sample::WorkloadSpec;
use model::snapshot::{Signal, Snapshot};
use model::{Bytes, MilliCpu, NumaNodeId, NumaSet, Timestamp};
use serde_json::Value;

use super::happenings::Happenings;
use super::promised::Promised;
use super::promised::tests::headroom;
use super::{capacity, cnr, pace};
use crate::node_state::NodeState;
use crate::serve::tests::{state_of, workload};

fn declared(names: &[&str]) -> Declared {
    let pod = |name: &&str| {
        let uid = PodUid::new(format!("uid-of-{name}"));
        let pod = Pod {
            uid: uid.clone(),
            name: WorkloadName::new(*name),
            owner: None,
            labels: Default::default(),
            annotations: Default::default(),
            containers: Vec::new(),
            running: true,
        };
        (uid, DeclaredPod { pod, running: BTreeSet::new(), why: None }.into())
    };
    names.iter().map(pod).collect()
}

pub(super) fn resident(name: &str, cpu: u64, memory: u64, place: Place) -> (PodUid, Resident) {
    let mut spec = WorkloadSpec::plain(QosLevel::DedicatedCores, MilliCpu(cpu));
    spec.memory_request = Bytes(memory);
    let ask = Ask::of_workload(&WorkloadName::new(name), &spec);
    (PodUid::new(name), Resident { ask, place, ramp_until: None })
}

/// Two NUMA nodes of one CPU and 1 GiB; `shop/db` owns CPU 1 with its memory, `shop/near` lies on node 0, `slice` is no pod.
pub(super) fn state() -> NodeState {
    let state =
        state_of([("shop/db", workload(1)), ("shop/web", workload(2)), ("slice", workload(3))]);
    let node = |id| NumaNodeId(id);
    let own = Place::Own { cpus: "1".parse().expect("a list"), nodes: NumaSet::single(node(1)) };
    let pods = [
        resident("shop/db", 1000, 4096, own),
        resident("shop/near", 250, 0, Place::Node(node(0))),
        resident("shop/web", 500, 0, Place::Pool),
        resident("slice", 500, 0, Place::Node(node(0))),
    ];
    let ledger = Ledger { pods: pods.into(), ..Ledger::default() };
    let reserve = PoolPlan { cpus: "0".parse().expect("a list"), need: MilliCpu(0) };
    let plan = Plan {
        ledger: ledger.into(),
        pools: [(PoolName::from(PoolName::RESERVE), reserve)].into(),
        ..Plan::default()
    };
    let memory = NodeMemory { total: Bytes(100), free: Bytes(40), ..NodeMemory::default() };
    let mut snapshot = Snapshot::clone(&state.snapshot);
    snapshot.host.memory = [(node(0), memory)].into();
    snapshot.host.cpu_busy_ratio = [(model::CpuId(0), 0.25), (model::CpuId(1), 0.5)].into();
    NodeState { plan: plan.into(), snapshot: snapshot.into(), ..state }
}

fn status(state: &NodeState, promised: &Promised) -> pace::Content {
    let declared = declared(&["shop/db", "shop/near", "shop/web"]);
    cnr::status("n1", state, promised, &declared, ("2026-11-27T12:00:00Z", "2026-11-27T11:00:00Z"))
}

#[test]
fn a_node_as_katalyst_has_it() {
    let main = cnr::main("n1", "u1", &state()).object();
    let status = status(&state(), &Promised::of_whole(1500, 1024)).object();
    let text =
        serde_json::to_string_pretty(&serde_json::json!([main, status])).expect("json") + "\n";
    expect_file!["node.json"].assert_eq(&text);
}

/// What is different from the first report, by how soon it is told.
#[test]
fn a_promise_that_drifts_is_not_told_at_once_and_an_owner_is() {
    let first = status(&state(), &Promised::of_whole(1500, 1024));
    let drifted = status(&state(), &Promised::of_whole(1501, 1024));
    assert_eq!(first.fixed, drifted.fixed);
    assert_ne!(first.object(), drifted.object());
    let mut moved = state();
    let mut plan = Plan::clone(&moved.plan);
    std::sync::Arc::make_mut(&mut plan.ledger).pods.remove(&PodUid::new("shop/db"));
    moved.plan = plan.into();
    assert_ne!(first.fixed, status(&moved, &Promised::of_whole(1500, 1024)).fixed);
    let mut blind = state();
    let why = "no BPF".to_owned();
    blind.snapshot =
        Snapshot { signal: Signal::None { why }, ..Snapshot::clone(&blind.snapshot) }.into();
    assert_ne!(first.fixed, status(&blind, &Promised::of_whole(1500, 1024)).fixed);
}

/// Before the first promise nobody is told that there is none.
#[test]
fn nothing_is_promised_before_it_is_known() {
    let content = status(&state(), &Promised::default());
    assert!(content.amounts.is_empty());
    assert_eq!(
        content.object().pointer("/status/resources/capacity"),
        Some(&serde_json::json!({}))
    );
    assert!(!content.object().to_string().contains("reclaimed"));
}

/// Every pointer of a content leads somewhere.
#[test]
fn what_drifts_has_its_place_in_the_object() {
    let content = status(&state(), &Promised::of_whole(1, 1));
    for (place, value) in content.drifting.iter().chain(&content.stamps) {
        assert_eq!(content.object().pointer(place), Some(value), "{place}");
        assert_ne!(*value, Value::Null, "{place}");
    }
}

fn unplaceable(name: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        rule: "unplaceable",
        subject: name.to_owned(),
        message: format!("{name} does not fit"),
    }
}

#[track_caller]
fn check(
    happenings: &mut Happenings,
    second: u64,
    state: &NodeState,
    names: &[&str],
    expect: &[&str],
) {
    let events = happenings.look(Timestamp(second * 1_000_000_000), state, &declared(names));
    let line = |(pod, event): &(cluster::events::PodRef, cluster::events::Event)| {
        format!("{}/{} {}: {}", pod.namespace, pod.name, event.reason, event.note)
    };
    assert_eq!(events.iter().map(line).collect::<Vec<_>>(), expect, "at {second} s");
}

#[test]
fn an_event_is_told_once_as_long_as_it_says_the_same() {
    let mut happenings = Happenings::default();
    let quiet = state();
    let mut full = state();
    full.findings = vec![unplaceable("shop/web"), unplaceable("slice"), unplaceable("shop/gone")];
    let all = ["shop/db", "shop/web"];
    let owns = "shop/db CpusOwned: owns CPUs 1, memory of NUMA nodes 1";
    let no_place = "shop/web Unplaceable: shop/web does not fit";
    check(&mut happenings, 100, &quiet, &[], &[]);
    check(&mut happenings, 101, &quiet, &all, &[owns]);
    check(&mut happenings, 102, &full, &all, &[no_place]);
    check(&mut happenings, 103, &full, &all, &[]);
    // It went and one of its name came.
    check(&mut happenings, 104, &full, &["shop/web"], &[]);
    check(&mut happenings, 105, &full, &all, &[owns]);
}

/// Thirty pods at once: twenty are told of, the rest one each ten seconds.
#[test]
fn a_flood_is_told_slowly() {
    let names: Vec<String> = (0..30).map(|n| format!("shop/p{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut state = state();
    state.findings = names.iter().map(|name| unplaceable(name)).collect();
    let mut happenings = Happenings::default();
    let mut n_told = |second: u64| {
        happenings.look(Timestamp(second * 1_000_000_000), &state, &declared(&names)).len()
    };
    assert_eq!(
        [n_told(1000), n_told(1001), n_told(1010), n_told(1011), n_told(1060)],
        [20, 0, 1, 0, 5]
    );
    assert_eq!(n_told(2000), 4);
}

/// An hour of a node whose services are busy for some seconds of each minute, by noise of its own besides.
#[test]
fn a_restless_hour_is_few_writes() {
    let mut promised = Promised::default();
    let mut pace = pace::Pace::default();
    let mut noise = 1_u64;
    let mut n_writes = 0;
    for second in 0..3600_u64 {
        noise =
            noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let is_busy = second % 53 < 7;
        let cpu = if is_busy { 1000 } else { 3600 } + (noise >> 33) % 800;
        let now = Timestamp(second * 1_000_000_000);
        promised.look(now, Some(&headroom(Some(cpu))));
        let content = capacity::status("n1", &promised, (&[], "12:00")).expect("promised");
        if pace.is_due(now, &content) {
            pace.wrote(now, content, pace::Result::Taken, 0);
            n_writes += 1;
        }
    }
    assert!((1..=10).contains(&n_writes), "{n_writes}");
}
