//! Reports of very many nodes into one process: what it costs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

#[path = "../../../kit/tests/it/agents.rs"]
pub(crate) mod agents;

use agents::Load;
use testkit::Bench;

/// Ends when it is dropped.
struct ReportServer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl ReportServer {
    fn start() -> (ReportServer, std::net::SocketAddr) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_report-server"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut server = ReportServer { child, input, output: BufReader::new(output) };
        let address = server.line().parse().unwrap();
        (server, address)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn figures(&mut self) -> BTreeMap<String, f64> {
        writeln!(self.input).unwrap();
        let line = self.line();
        let words: Vec<&str> = line.split(' ').collect();
        words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].parse().unwrap())).collect()
    }
}

impl Drop for ReportServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Every agent is answered and in the table; notes what the server needed.
async fn check(n_agents: usize, n_connections: usize, interval: Duration, n_reports: u64) {
    let bench = Bench::of_test().unwrap();
    let (mut server, address) = ReportServer::start();
    let empty = server.figures();
    let load = Load {
        server: address,
        n_agents,
        n_connections,
        n_pods: 30,
        n_changed: 5,
        interval,
        n_reports,
    };
    let outcome = agents::run(load).await;
    assert!(outcome.first_failure.is_none() && outcome.n_other == 0, "{outcome:?}");
    assert_eq!(outcome.n_accepted, n_agents as u64 * n_reports);
    // A table is published within 200 ms.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let figures = server.figures();
    assert_eq!(figures["pods"], n_agents as f64 * 30.0, "{figures:?}");
    let cpu_s = (figures["cpu_ms"] - empty["cpu_ms"]) / 1000.0;
    let seconds = outcome.took.as_secs_f64();
    let line = format!(
        "{n_agents} agents, {} reports in {seconds:.1} s ({:.0}/s), joined after {:.1} s; \
         server {:.0} MiB (empty {:.0}) of which {:.0} MiB are states as encoded, {cpu_s:.1} CPU-s, \
         {:.0} us per report; {:.0} tables, {:.1} ms each",
        outcome.n_accepted,
        outcome.n_accepted as f64 / seconds,
        outcome.joined.as_secs_f64(),
        figures["rss_kib"] / 1024.0,
        empty["rss_kib"] / 1024.0,
        figures["state_bytes"] / f64::from(1 << 20),
        cpu_s * 1e6 / outcome.n_accepted as f64,
        figures["publishes_total"],
        figures["publishing_seconds_total"] * 1e3 / figures["publishes_total"],
    );
    bench.note(&line).unwrap();
}

#[tokio::test]
async fn a_thousand_agents_report_to_one_process() {
    check(1000, 10, Duration::from_millis(500), 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_twenty_thousand_agents_report_to_one_process() {
    check(20_000, 200, Duration::from_secs(5), 8).await;
}
