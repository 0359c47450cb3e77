//! What belongs to one stream: the first report, the answers, refusals, silence, readers that do not read.

use std::sync::Arc;
use std::time::Duration;

use kit::nodes::{Config, Limits};
use proto::v1::{
    FullReason, NodeDelta, NodeHealth, NodeReport, NodeState, PodReport, PolicyDocument,
};
use tonic::{Code, Status};

use crate::reporter::{Talk, delta, full, identity, state};
use crate::server::{Choice, Server, connection};

async fn opened(server: &Server, node: &str) -> Talk {
    let mut talk = Talk::open(connection(server.address)).await.expect("a stream");
    let first = NodeReport { identity: Some(identity(node)), ..full(1, state(100, &["a", "b"])) };
    let directive = talk.ask(first).await.expect("accepted");
    assert_eq!((directive.acknowledged, directive.report_interval_ms), (1, Some(5000)));
    talk
}

#[tokio::test]
async fn reports_become_a_table() {
    let server = Server::start(Choice::default()).await;
    let mut talk = opened(&server, "n1").await;
    let change = NodeDelta { removed_pods: vec!["a".to_owned()], ..NodeDelta::default() };
    let directive = talk.ask(delta(2, change)).await.expect("accepted");
    assert_eq!((directive.acknowledged, directive.report_interval_ms), (2, None));
    let is_second = |node: &Arc<kit::nodes::Node>| node.sequence == 2;
    let table = server.table_with(|table| table.get("c", "n1").is_some_and(is_second)).await;
    let node = table.get("c", "n1").expect("reported");
    assert_eq!(node.state.headroom.as_ref().and_then(|amount| amount.milli_cpu), Some(100));
    assert!(node.state.pod("a").is_none() && node.state.pod("b").is_some());
    let again = talk.ask(delta(2, NodeDelta::default())).await.expect("ignored");
    assert_eq!((again.acknowledged, again.full_wanted), (2, None));
    let gap = talk.ask(delta(4, NodeDelta::default())).await.expect("a directive");
    let wanted = gap.full_wanted.expect("a full report is wanted");
    assert_eq!((gap.acknowledged, wanted.reason()), (2, FullReason::Gap));
    let directive = talk.ask(full(5, state(7, &[]))).await.expect("accepted");
    assert_eq!((directive.acknowledged, directive.full_wanted), (5, None));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &server.registry).expect("metrics");
    for line in ["reports_total{answer=\"accepted\"} 3", "reports_total{answer=\"repeated\"} 1"] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}

/// What ends the stream of node n1 whose first report is in force.
#[track_caller]
fn check(ended: &Status, code: Code, message: &str) {
    assert_eq!((ended.code(), ended.message()), (code, message));
}

#[tokio::test]
async fn what_is_refused_ends_the_stream_with_a_reason() {
    let limits =
        Limits { max_nodes: 2, max_pods_per_node: 3, max_report_bytes: 400, ..Limits::default() };
    let config = Config { limits, ..Choice::default().config };
    let server = Server::start(Choice { config, ..Choice::default() }).await;
    let refusal = async |report: NodeReport| {
        let mut talk = opened(&server, "n1").await;
        talk.ask(report).await.expect_err("refused")
    };
    let many = refusal(full(2, state(1, &["a", "b", "c", "d"]))).await;
    check(&many, Code::ResourceExhausted, "4 pods on node n1, at most 3 are taken");
    let long = refusal(full(2, state(1, &["x".repeat(400).as_str()]))).await;
    let over = "Error, decoded message length too large: found 415 bytes, the limit is: 400 bytes";
    check(&long, Code::OutOfRange, over);
    let zero = refusal(full(0, NodeState::default())).await;
    check(&zero, Code::InvalidArgument, "sequence is 0, reports are counted from 1");
    let other = NodeReport { identity: Some(identity("n2")), ..full(2, NodeState::default()) };
    let other = refusal(other).await;
    check(&other, Code::InvalidArgument, "the identity changed within a stream");
    let mut talk = Talk::open(connection(server.address)).await.expect("a stream");
    let nobody = talk.ask(full(1, NodeState::default())).await.expect_err("refused");
    let nobody_is = "the first report of a stream has no identity";
    check(&nobody, Code::InvalidArgument, nobody_is);
    let mut talk = Talk::open(connection(server.address)).await.expect("a stream");
    let mut twin = identity("n1");
    twin.node_uid = "another".to_owned();
    let twin = NodeReport { identity: Some(twin), ..full(1, NodeState::default()) };
    let twin = talk.ask(twin).await.expect_err("refused");
    assert_eq!(twin.code(), Code::FailedPrecondition);
    assert!(twin.message().starts_with("node n1 of cluster c is reported by machine uid of n1"));
    drop(opened(&server, "n2").await);
    let mut talk = Talk::open(connection(server.address)).await.expect("a stream");
    let third = NodeReport { identity: Some(identity("n3")), ..full(1, NodeState::default()) };
    let third = talk.ask(third).await.expect_err("refused");
    check(&third, Code::ResourceExhausted, "node n3 would be node 3, at most 2 are kept");
    // None of this harmed the node.
    assert_eq!(server.table_with(|table| table.len() == 2).await.iter().count(), 2);
}

#[tokio::test]
async fn a_policy_is_sent_once_to_an_agent_that_has_another() {
    let server = Server::start(Choice::default()).await;
    let health = |hash: &[u8]| {
        let health = NodeHealth { policy_sha256: hash.to_vec(), ..NodeHealth::default() };
        NodeDelta { health: Some(health), ..NodeDelta::default() }
    };
    let document = |text: &str| PolicyDocument {
        sha256: text.as_bytes().to_vec(),
        document: text.as_bytes().to_vec(),
    };
    let mut talk = opened(&server, "n1").await;
    server.policy.send_replace(Some(Arc::new(document("one"))));
    let unknown = talk.ask(delta(2, NodeDelta::default())).await.expect("accepted");
    assert_eq!(unknown.policy, None, "nobody knows what the agent has");
    let sent = talk.ask(delta(3, health(b""))).await.expect("accepted");
    assert_eq!(sent.policy, Some(document("one")));
    let again = talk.ask(delta(4, NodeDelta::default())).await.expect("accepted");
    assert_eq!(again.policy, None);
    let taken = talk.ask(delta(5, health(b"one"))).await.expect("accepted");
    assert_eq!(taken.policy, None);
    server.policy.send_replace(Some(Arc::new(document("two"))));
    let next = talk.ask(delta(6, NodeDelta::default())).await.expect("accepted");
    assert_eq!(next.policy, Some(document("two")));
}

#[tokio::test]
async fn silence_ends_a_stream_and_then_the_node_is_forgotten() {
    let report_interval = Duration::from_secs(1);
    let config = Config { report_interval, expiry_intervals: 2, ..Choice::default().config };
    let server = Server::start(Choice { config, ..Choice::default() }).await;
    let mut talk = Talk::open(connection(server.address)).await.expect("a stream");
    let first = NodeReport { identity: Some(identity("n1")), ..full(1, state(1, &[])) };
    let directive = talk.ask(first).await.expect("accepted");
    assert_eq!(directive.report_interval_ms, Some(1000));
    assert_eq!(server.table_with(|table| !table.is_empty()).await.len(), 1);
    let ended = talk.directives.message().await.expect_err("silent");
    check(&ended, Code::DeadlineExceeded, "no report for 2.0 s, the limit");
    assert!(server.table_with(|table| table.is_empty()).await.is_empty());
}

/// An agent that sends and never reads: its answers fill the connection, then its reports are not taken any more, and
/// the stream ends, after the time of a silence at the latest. What was answered before is in force.
#[tokio::test]
async fn who_does_not_read_is_not_listened_to() {
    let report_interval = Duration::from_secs(1);
    let config = Config { report_interval, expiry_intervals: 1, ..Choice::default().config };
    let server = Server::start(Choice { config, ..Choice::default() }).await;
    let mut talk = Talk::open(connection(server.address)).await.expect("a stream");
    let first = NodeReport { identity: Some(identity("n1")), ..full(1, state(1, &[])) };
    talk.ask(first).await.expect("accepted");
    // Large enough that HTTP/2 does not take it for a flood of tiny frames.
    let pod = PodReport { uid: "a".to_owned(), name: "x".repeat(1000), ..PodReport::default() };
    let endless = async {
        for sequence in 2.. {
            let change = NodeDelta { pods: vec![pod.clone()], ..NodeDelta::default() };
            if talk.reports.send(delta(sequence, change)).await.is_err() {
                return sequence;
            }
        }
        0
    };
    let n_sent = tokio::time::timeout(Duration::from_secs(40), endless).await;
    let n_sent = n_sent.expect("the stream ends");
    let mut n_heard = 1;
    // Either the server gives up, or the agent's own HTTP/2 finds that too much lies unread.
    while let Ok(Some(directive)) = talk.directives.message().await {
        n_heard += 1;
        assert_eq!(directive.acknowledged, n_heard);
    }
    assert!(1 < n_heard && n_heard < n_sent, "{n_heard} of {n_sent} were answered");
    let mut talk = Talk::open(connection(server.address)).await.expect("a stream");
    let next = NodeReport { identity: Some(identity("n1")), ..full(n_sent, state(5, &[])) };
    let directive = talk.ask(next).await.expect("accepted");
    assert_eq!((directive.acknowledged, directive.full_wanted), (n_sent, None));
}
