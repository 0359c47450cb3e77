//! Servers that die, are slow, or lie: the agent goes on, and what the table says in the end is what the agent is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kit::nodes::NodeTable;
use proto::v1;
use tonic::Code;

use crate::odd::Odd;
use crate::reporter::{Reporter, identity, state};
use crate::server::{Choice, Server, serve_alone};

async fn until_accepted(reporter: &mut Reporter, now: &v1::NodeState) -> v1::NodeDirective {
    for _ in 0..200 {
        match reporter.report(now).await {
            Ok(directive) if directive.full_wanted.is_none() => return directive,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("no report was accepted")
}

#[tokio::test]
async fn after_a_kill_the_agent_begins_with_a_full_report() {
    let server = Server::start(Choice::default()).await;
    let mut agent = Reporter::new(server.address, identity("n1"));
    until_accepted(&mut agent, &state(1, &["a"])).await;
    until_accepted(&mut agent, &state(2, &["a", "b"])).await;
    assert_eq!((agent.n_full, agent.n_deltas), (1, 1));
    let port = server.kill().port();
    agent.report(&state(3, &["a"])).await.expect_err("nobody is there");
    let server = Server::start(Choice { port, ..Choice::default() }).await;
    assert!(server.table.borrow().is_empty());
    let told = until_accepted(&mut agent, &state(4, &["c"])).await;
    assert!(told.report_interval_ms.is_some(), "the first directive of a stream");
    let n_full = agent.n_full;
    assert!(n_full >= 2, "a report after the kill is a full one");
    until_accepted(&mut agent, &state(5, &["c", "d"])).await;
    assert_eq!(agent.n_full, n_full, "and then deltas again");
    let is_newest = |node: &Arc<kit::nodes::Node>| node.state.pods().len() == 2;
    server.table_with(|table| table.get("c", "n1").is_some_and(is_newest)).await;
}

#[tokio::test]
async fn the_stream_of_an_old_agent_start_ends_when_the_new_one_has_told_all() {
    let server = Server::start(Choice::default()).await;
    let mut old = Reporter::new(server.address, identity("n1"));
    until_accepted(&mut old, &state(1, &["a"])).await;
    let mut newer = identity("n1");
    newer.agent_start_id = "start 2".to_owned();
    newer.agent_started_mono_ns = 2;
    let mut new = Reporter::new(server.address, newer);
    until_accepted(&mut new, &state(2, &["b"])).await;
    let ended = old.report(&state(3, &["a"])).await.expect_err("it is the past");
    assert_eq!(ended.code(), Code::FailedPrecondition);
    let why = "agent start start 1 of node n1 of cluster c was followed by start 2";
    assert!(ended.message().starts_with(why), "{}", ended.message());
    until_accepted(&mut new, &state(4, &["b"])).await;
    assert_eq!((new.n_full, new.n_deltas), (1, 1));
}

/// Full reports that the server saw in four reports, and what the agent thought of each.
async fn check(delay: Duration, answer: fn(u64) -> u64, expect: (u64, [Option<Code>; 4])) {
    let n_full = Arc::new(AtomicU64::new(0));
    let odd = Odd { delay, answer, n_full: Arc::clone(&n_full), n_reports: Arc::default() };
    let (address, running) = serve_alone(odd).await;
    let mut agent = Reporter::new(address, identity("n1"));
    let mut heard = [None; 4];
    for (usage, heard) in (1..).zip(&mut heard) {
        *heard = agent.report(&state(usage, &["a"])).await.err().map(|status| status.code());
    }
    assert_eq!((n_full.load(Ordering::Relaxed), heard), expect);
    drop(running);
}

#[tokio::test]
async fn a_slow_server_makes_an_agent_wait_and_a_lying_one_makes_it_begin_again() {
    check(Duration::ZERO, |sent| sent, (1, [None; 4])).await;
    check(Duration::from_millis(100), |sent| sent, (1, [None; 4])).await;
    let lie = Some(Code::DataLoss);
    check(Duration::ZERO, |sent| sent + 1, (4, [lie; 4])).await;
    check(Duration::ZERO, |sent| sent - 1, (4, [lie; 4])).await;
    check(Duration::ZERO, |sent| if sent == 2 { 7 } else { sent }, (2, [None, lie, None, None]))
        .await;
}

/// The keeper's queue is full: reports wait, their agents with them, and none is lost.
#[tokio::test]
async fn many_agents_at_once_are_all_answered() {
    let server = Server::start(Choice::default()).await;
    let mut agents = tokio::task::JoinSet::new();
    for idx in 0..40 {
        let mut agent = Reporter::new(server.address, identity(&format!("n{idx}")));
        agents.spawn(async move {
            for usage in 0..25 {
                let now = state(usage, &["a"]);
                let directive = agent.report(&now).await.expect("a directive");
                assert_eq!(directive.acknowledged, usage + 1);
            }
            (agent.n_full, agent.n_deltas)
        });
    }
    while let Some(counts) = agents.join_next().await {
        assert_eq!(counts.expect("an agent"), (1, 24));
    }
    // An older table may lack whoever came last.
    let all =
        |table: &Arc<NodeTable>| table.len() == 40 && table.iter().all(|node| node.sequence == 25);
    server.table_with(all).await;
}
