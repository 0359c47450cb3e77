//! An agent as a scraper meets it: metrics that follow a published state, behind the real port. The test plays the loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::cases::Case;
use crate::admin;
use crate::metrics::RuntimeMetrics;
use crate::metrics::tests::registered;
use crate::node_state::NodeState;

/// When the first one began, since 1970: any time will do.
const BEGAN: u64 = 1_790_000_000;

pub(super) struct Agent {
    state: watch::Sender<Option<Arc<NodeState>>>,
    runtime: RuntimeMetrics,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    tick: u64,
}

impl Agent {
    pub(super) async fn start(later_s: u64) -> Agent {
        let mut registry = Registry::default();
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(BEGAN + later_s);
        let metrics = registered(&mut registry, began);
        let runtime = metrics.runtime.clone();
        let (state, seen) = watch::channel(None);
        tokio::spawn(metrics.follow(seen.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let answers = admin::answers(seen, Arc::new(registry));
        let server = tokio::spawn(kit::admin::serve(listener, answers, async move {
            let _ = stopped.await;
        }));
        Agent { state, runtime, address, stop: Some(stop), server, tick: 0 }
    }

    /// Sixty ticks, and what a container runtime had to say.
    pub(super) async fn minute(&mut self, case: &Case) {
        for of_minute in 0..60 {
            self.tick += 1;
            self.state.send_replace(Some(Arc::new(case.state(self.tick, of_minute))));
            // Let the metrics see each one.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        (case.runtime)(&self.runtime);
    }

    pub(super) fn minute_without_ticks(&self, case: &Case) {
        (case.runtime)(&self.runtime);
    }

    pub(super) async fn end(&mut self) {
        drop(self.stop.take());
        (&mut self.server).await.expect("the port closes");
    }

    /// The page; `None` where nobody answers.
    pub(super) async fn scrape(&self) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("an answer");
        let (head, body) = reply.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Some(body.to_owned())
    }
}

/// One line of a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// With its labels.
    pub(super) series: String,
    pub(super) value: f64,
}

impl Sample {
    pub(super) fn name(&self) -> &str {
        self.series.split('{').next().unwrap_or_default()
    }

    /// Between the braces.
    pub(super) fn labels(&self) -> &str {
        let inner = self.series.split_once('{').map_or("", |(_, rest)| rest);
        inner.strip_suffix('}').unwrap_or(inner)
    }

    /// As it lies in a Prometheus, which adds the target's.
    pub(super) fn with_labels(&self, target: &str) -> String {
        let separator = if self.labels().is_empty() { "" } else { "," };
        format!("{}{{{target}{separator}{}}}", self.name(), self.labels())
    }
}

/// The lines of a page, in order.
pub(super) fn samples(page: &str) -> Vec<Sample> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        Sample { series: series.to_owned(), value: value.parse().expect(line) }
    };
    let mut samples: Vec<Sample> = lines.map(sample).collect();
    samples.sort_by(|one, other| one.series.cmp(&other.series));
    samples
}
