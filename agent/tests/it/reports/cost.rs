//! What reporting a large node costs the node.

use std::fs;
use std::time::Duration;

use super::reporter::{quick, start, state};
use crate::server::Server;

/// Nanoseconds that threads which report have run: `/proc/self/task/*/schedstat`, the busiest one.
fn run_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("procfs").flatten();
    let is_ours = |path: &std::path::Path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "berth-report")
    };
    let ran = |path: &std::path::Path| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let paths = tasks.map(|task| task.path()).filter(|path| is_ours(path));
    paths.filter_map(|path| ran(&path)).max().unwrap_or(0)
}

/// Every workload changes from report to report, as it does on a busy node. Prints what one report is and costs.
#[tokio::test]
async fn a_thousand_workloads_that_all_change() {
    const SENT: &str = "berth_agent_reports_sent_total";
    const BYTES: &str = "berth_agent_reports_bytes_total";
    let server = Server::start(quick()).await;
    let agent = start(&format!("endpoints = [\"http://{}\"]", server.address));
    agent.publish(state(1000, 0));
    agent.counts("berth_agent_reports_acknowledged_total", "", 1).await;
    let (full_bytes, before_ns, before) = (agent.count(BYTES, ""), run_ns(), agent.count(SENT, ""));
    for usage in 1..=6 {
        agent.publish(state(1000, usage));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let n_reports = agent.count(SENT, "") - before;
    let delta_bytes = (agent.count(BYTES, "") - full_bytes) / n_reports.max(1);
    let us = (run_ns() - before_ns) / 1000 / n_reports.max(1);
    let table = server.table_with(|table| table.get("c", "n1").is_some()).await;
    assert_eq!(table.get("c", "n1").map(|node| node.state.pods().len()), Some(1000));
    assert!(n_reports >= 4 && agent.count(SENT, "kind=\"full\"") == 1, "{n_reports}");
    println!(
        "1000 workloads: {} KiB in full, {} KiB as a delta in which all changed; {us} us of CPU a report",
        full_bytes >> 10,
        delta_bytes >> 10,
    );
}
