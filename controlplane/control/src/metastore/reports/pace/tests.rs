//! When a key is written, by what its node reports and when.

use std::sync::Arc;

use kit::nodes::{Intake, Limits, Node};
use proto::v1::{NodeAmount, NodeIdentity, NodeReport, NodeState, node_report};

use super::*;

/// The node as an intake makes it of a report.
pub(in super::super) fn node(name: &str, state: NodeState) -> Arc<Node> {
    let identity = NodeIdentity {
        cluster: "c".to_owned(),
        node: name.to_owned(),
        node_uid: "u".to_owned(),
        boot_id: "b".to_owned(),
        agent_start_id: "s".to_owned(),
        agent_started_mono_ns: 1,
    };
    let content = Some(node_report::Content::Full(state));
    let report = NodeReport { sequence: 7, content, ..NodeReport::default() };
    let mut intake = Intake::new(Limits::default(), Duration::from_secs(15));
    intake.take(&Arc::new(identity), report, Instant::now()).unwrap();
    Arc::clone(intake.table().get("c", name).unwrap())
}

pub(in super::super) fn amount(milli_cpu: u64) -> Option<NodeAmount> {
    Some(NodeAmount { milli_cpu: Some(milli_cpu), memory_bytes: Some(1 << 30), numa_nodes: vec![] })
}

fn meaning(headroom_milli: u64) -> Meaning {
    let state = NodeState {
        capacity: amount(10_000),
        headroom: amount(headroom_milli),
        ..NodeState::default()
    };
    Meaning::of(&node("n", state))
}

/// Of a node with 10 CPUs whose headroom was 4 when it was written.
#[test]
fn a_key_is_written_as_rarely_as_it_may() {
    let pace =
        Pace { min_interval: Duration::from_secs(10), report_interval: Duration::from_secs(5) };
    let began = Instant::now();
    let written = Written { meaning: meaning(4000), at: began };
    for (after_s, headroom_milli, is_written) in [
        (0, 4000, false),
        (9, 9000, false),
        (10, 4000, false),
        (10, 4499, false),
        (10, 4500, true),
        (10, 3500, true),
        (59, 4499, false),
        (60, 4000, true),
    ] {
        let now = began + Duration::from_secs(after_s);
        let newest = meaning(headroom_milli);
        let is_due =
            pace.may_write(Some(&written), now) && pace.is_due(Some(&written), &newest, now);
        assert_eq!(is_due, is_written, "after {after_s} s with {headroom_milli}");
    }
    assert!(pace.may_write(None, began) && pace.is_due(None, &meaning(1), began));
}

#[test]
fn a_lease_lasts_for_three_reports() {
    for (report_ms, lease_s) in [(100, 2), (1000, 3), (1500, 5), (5000, 15)] {
        let report_interval = Duration::from_millis(report_ms);
        let pace = Pace { min_interval: Duration::ZERO, report_interval };
        assert_eq!(pace.lease_s(), lease_s, "{report_ms} ms");
    }
}
