//! Endpoints that come and go, are silent or lie: each is told everything in the end, and none holds up another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kit::nodes::{Node, NodeTable};
use proto::v1;

use super::reporter::{Agent, quick, start, state};
use crate::odd::Odd;
use crate::server::{Choice, Server, serve_alone};

const SENT: &str = "berth_agent_reports_sent_total";
const TAKEN: &str = "berth_agent_reports_acknowledged_total";
const DROPPED: &str = "berth_agent_reports_dropped_total";
const ENDED: &str = "berth_agent_report_streams_ended_total";
const CONNECTED: &str = "berth_agent_report_connected";

fn one(endpoint: impl std::fmt::Display) -> String {
    format!("endpoints = [\"http://{endpoint}\"]")
}

/// Waits until the node's workloads use so much there.
async fn shown(server: &Server, usage: u64) -> Arc<NodeTable> {
    let fits = |node: &Arc<Node>| {
        let pods = node.state.pods();
        !pods.is_empty() && pods.iter().all(|pod| pod.usage_milli_cpu == Some(usage))
    };
    server.table_with(|table| table.get("c", "n1").is_some_and(fits)).await
}

#[tokio::test]
async fn a_node_is_told_in_full_and_then_by_what_changes() {
    let server = Server::start(quick()).await;
    let agent = start(&one(server.address));
    agent.publish(state(3, 100));
    let table = shown(&server, 100).await;
    let node = table.get("c", "n1").expect("reported");
    assert_eq!((node.sequence, node.decisions.len(), node.n_lost_decisions), (1, 3, 0));
    let capacity = node.state.capacity.as_ref().expect("known");
    assert_eq!((capacity.milli_cpu, capacity.numa_nodes.len()), (Some(128_000), 2));
    for usage in [200, 300] {
        agent.publish(state(3, usage));
        shown(&server, usage).await;
    }
    agent.publish(state(2, 400));
    let table = shown(&server, 400).await;
    assert_eq!(table.get("c", "n1").map(|node| node.state.pods().len()), Some(2));
    assert_eq!(agent.count(SENT, "kind=\"full\""), 1);
    assert!(agent.count(SENT, "kind=\"delta\"") >= 3);
    assert_eq!((agent.count(CONNECTED, ""), agent.count(ENDED, "")), (1, 0));
    assert!(agent.told[0].borrow().is_empty());
}

#[tokio::test]
async fn a_server_that_was_killed_is_told_everything_again() {
    let server = Server::start(quick()).await;
    let agent = start(&one(server.address));
    agent.publish(state(3, 100));
    shown(&server, 100).await;
    let port = server.kill().port();
    agent.counts(ENDED, "", 1).await;
    agent.publish(state(3, 200));
    let server = Server::start(Choice { port, ..quick() }).await;
    shown(&server, 200).await;
    assert_eq!(agent.count(SENT, "kind=\"full\""), 2);
    agent.publish(state(3, 300));
    shown(&server, 300).await;
    assert_eq!(agent.count(SENT, "kind=\"full\""), 2, "and then deltas again");
}

#[tokio::test]
async fn a_server_that_acknowledges_more_than_was_sent_is_left() {
    check_lie(|sent| sent + 1, "report 2 was acknowledged, 1 were sent").await;
    check_lie(|sent| sent - 1, "report 0 was acknowledged in answer to report 1").await;
}

async fn check_lie(answer: fn(u64) -> u64, expect: &str) {
    let n_full = Arc::new(AtomicU64::new(0));
    let odd = Odd {
        delay: Duration::ZERO,
        answer,
        n_full: Arc::clone(&n_full),
        n_reports: Arc::default(),
    };
    let (address, running) = serve_alone(odd).await;
    let agent = start(&one(address));
    agent.publish(state(1, 100));
    let finding = agent.finding(0, "report-refused").await;
    assert!(finding.message.ends_with(expect), "{}", finding.message);
    agent.counts(ENDED, "why=\"contract\"", 2).await;
    assert!(n_full.load(Ordering::Relaxed) >= 2, "every stream begins in full");
    assert_eq!(agent.count(TAKEN, ""), 0);
    drop(running);
}

#[tokio::test]
async fn a_policy_document_is_refused_and_told_of() {
    let server = Server::start(quick()).await;
    let document = v1::PolicyDocument { sha256: vec![1], document: b"mode = \"enforce\"".to_vec() };
    server.policy.send_replace(Some(Arc::new(document)));
    let agent = start(&one(server.address));
    agent.publish(state(1, 100));
    let finding = agent.finding(0, "policy-document-refused").await;
    assert!(!finding.message.contains("enforce"), "{}", finding.message);
    agent.counts(TAKEN, "", 3).await;
    assert_eq!(agent.count(ENDED, ""), 0, "the stream goes on");
}

#[tokio::test]
async fn nothing_is_told_before_there_is_something_to_tell() {
    let server = Server::start(quick()).await;
    let agent = start(&one(server.address));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!((agent.count(SENT, ""), agent.count(ENDED, "")), (0, 0));
    agent.publish(state(1, 100));
    shown(&server, 100).await;
}

/// Answers nothing for longer than any test lasts.
async fn silent() -> (std::net::SocketAddr, crate::server::Running, Arc<AtomicU64>) {
    let n_reports = Arc::new(AtomicU64::new(0));
    let odd = Odd {
        delay: Duration::from_secs(3600),
        answer: |sent| sent,
        n_full: Arc::default(),
        n_reports: Arc::clone(&n_reports),
    };
    let (address, running) = serve_alone(odd).await;
    (address, running, n_reports)
}

/// A good endpoint between one where nobody is and one that takes reports and never answers.
#[tokio::test]
async fn a_dead_and_a_silent_endpoint_hold_up_nobody_and_are_told_of() {
    let server = Server::start(quick()).await;
    let (silent, running, n_heard) = silent().await;
    let good = server.address;
    let agent = start(&format!(
        "endpoints = [\"http://{good}\", \"http://{silent}\", \"http://127.0.0.1:1\"]"
    ));
    for second in 0..32 {
        agent.publish(state(3, second));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let label = |address: std::net::SocketAddr| format!("\"http://{address}\"");
    check_good(&agent, &label(good));
    let silent = label(silent);
    assert_eq!(agent.count(TAKEN, &silent), 0);
    assert!(agent.count(DROPPED, &silent) >= 25, "{}", agent.count(DROPPED, &silent));
    assert_eq!(agent.count(ENDED, &silent), agent.count(ENDED, "no_answer"));
    assert_eq!(n_heard.load(Ordering::Relaxed), agent.count(SENT, &silent), "one at a time");
    assert!(agent.count(SENT, &silent) <= 2 && agent.count(DROPPED, ":1\"") >= 25);
    let text = |nth: usize| {
        let told = agent.told[nth].borrow();
        told.iter().map(|it| format!("{} {}: {}\n", it.rule, it.subject, it.message)).collect()
    };
    let all: Vec<String> = (0..3).map(text).collect();
    let all = all.concat();
    assert_eq!(all.matches("report-not-delivered").count(), 2, "{all}");
    assert!(all.contains("http://127.0.0.1:1: no report arrived for 3"), "{all}");
    assert!(all.contains("Connection refused"), "{all}");
    drop(running);
}

fn check_good(agent: &Agent, good: &str) {
    let taken = agent.count(TAKEN, good);
    assert!(taken >= 29, "one report a second, {taken} were taken");
    assert_eq!((agent.count(DROPPED, good), agent.count(ENDED, good)), (0, 0));
}
