//! A thousand agents in one process with their server. The long form, with a process for the server, is among the cases
//! against real programs.

use std::time::{Duration, Instant};

use crate::agents::{self, Load};
use crate::server::{Choice, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thousand_agents_are_answered() {
    let server = Server::start(Choice::default()).await;
    let load = Load {
        server: server.address,
        n_agents: 1000,
        n_connections: 10,
        n_pods: 30,
        n_changed: 5,
        interval: Duration::from_millis(500),
        n_reports: 6,
    };
    let began = Instant::now();
    let outcome = agents::run(load).await;
    let told = format!("{outcome:?}");
    assert!(outcome.first_failure.is_none() && outcome.n_other == 0, "{told}");
    assert_eq!(outcome.n_accepted, 6000, "{told}");
    let table = server.table_with(|table| table.iter().all(|node| node.sequence == 6)).await;
    assert_eq!(table.len(), 1000);
    assert!(table.iter().all(|node| node.state.pods().len() == 30));
    println!(
        "1000 agents: {} reports in {:.1} s, all joined after {:.1} s, table whole {:.1} s",
        outcome.n_accepted,
        outcome.took.as_secs_f64(),
        outcome.joined.as_secs_f64(),
        began.elapsed().as_secs_f64(),
    );
}
