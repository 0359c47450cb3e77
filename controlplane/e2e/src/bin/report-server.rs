//! An intake of reports as a process of its own, so that a test can say what it costs. Says where it listens; to each
//! line of its input it answers one line of `name value` pairs. Ends with its input.

#![expect(clippy::print_stdout, reason = "what it prints is what the test reads")]

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use kit::nodes::{AllowedNode, Config, Deps, NodeTable, reporting};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;

#[tokio::main]
async fn main() -> ExitCode {
    let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else { return ExitCode::FAILURE };
    let Ok(address) = listener.local_addr() else { return ExitCode::FAILURE };
    let mut registry = Registry::default();
    let (_policy, following) = watch::channel(None);
    let peers: kit::nodes::Peers = Arc::new(|_| Ok(AllowedNode::Any));
    let deps = Deps { peers, policy: following, registry: &mut registry };
    // A machine that is busy with other work makes agents late; that is no reason to forget them.
    let config = Config { expiry_intervals: 60, ..Config::default() };
    let parts = reporting(&config, deps);
    tokio::spawn(parts.keeper.run());
    let incoming = TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().serve_with_incoming(parts.server, incoming);
    println!("{address}");
    tokio::select! {
        _ = server => ExitCode::FAILURE,
        () = answer(&registry, &parts.table) => ExitCode::SUCCESS,
    }
}

async fn answer(registry: &Registry, table: &watch::Receiver<Arc<NodeTable>>) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, registry);
        let metrics: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let n_pods: usize = table.borrow().iter().map(|node| node.state.pods().len()).sum();
        let (rss_kib, cpu_ms) = own_cost();
        println!("{} pods {n_pods} rss_kib {rss_kib} cpu_ms {cpu_ms}", metrics.join(" "));
    }
}

/// Resident memory and CPU time of this process; 0 where the kernel does not tell.
fn own_cost() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let rss = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    // utime and stime in ticks of 10 ms, the 12th and 13th after the name.
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    (rss.unwrap_or(0), ticks * 10)
}
