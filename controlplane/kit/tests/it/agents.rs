//! Many simulated agents that share connections: each has a stream, tells all of its node once and then a few pods per
//! interval. Nothing is kept per agent but its stream, so that the server is what is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto::v1::node_reporting_client::NodeReportingClient;
use proto::v1::{
    NodeAmount, NodeDelta, NodeHealth, NodeIdentity, NodePools, NodeReport, NodeState, NumaAmount,
    PodReport, Pool, Runq, node_report,
};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) server: SocketAddr,
    pub(crate) n_agents: usize,
    pub(crate) n_connections: usize,
    pub(crate) n_pods: usize,
    /// Pods that a delta tells.
    pub(crate) n_changed: usize,
    pub(crate) interval: Duration,
    /// Reports of each agent, the full one included.
    pub(crate) n_reports: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) n_accepted: u64,
    pub(crate) n_other: u64,
    pub(crate) first_failure: Option<Status>,
    /// Until the last agent had its first answer.
    pub(crate) joined: Duration,
    pub(crate) took: Duration,
}

/// Runs all agents to their end.
pub(crate) async fn run(load: Load) -> Outcome {
    let began = Instant::now();
    let joined_us = Arc::new(AtomicU64::new(0));
    let endpoint = Endpoint::from_shared(format!("http://{}", load.server)).expect("an address");
    let channels: Vec<Channel> = (0..load.n_connections).map(|_| endpoint.connect_lazy()).collect();
    let mut agents = tokio::task::JoinSet::new();
    for idx in 0..load.n_agents {
        let channel = channels[idx % channels.len()].clone();
        let joined_us = Arc::clone(&joined_us);
        agents.spawn(async move { agent(load, idx, channel, began, &joined_us).await });
    }
    let mut outcome = Outcome::default();
    while let Some(ended) = agents.join_next().await {
        let (n_accepted, n_other, failure) = ended.expect("an agent");
        outcome.n_accepted += n_accepted;
        outcome.n_other += n_other;
        outcome.first_failure = outcome.first_failure.or(failure);
    }
    outcome.joined = Duration::from_micros(joined_us.load(Ordering::Relaxed));
    outcome.took = began.elapsed();
    outcome
}

/// Accepted reports, other ones, and why it ended early.
async fn agent(
    load: Load,
    idx: usize,
    channel: Channel,
    began: Instant,
    joined_us: &AtomicU64,
) -> (u64, u64, Option<Status>) {
    // Spread over the first interval, as agents are that start at any time.
    tokio::time::sleep(load.interval.mul_f64(idx as f64 / load.n_agents as f64)).await;
    let (to_server, reports) = mpsc::channel(1);
    let mut client = NodeReportingClient::new(channel);
    let answer = client.report(ReceiverStream::new(reports)).await;
    let mut directives = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (0, 0, Some(status)),
    };
    let (mut n_accepted, mut n_other) = (0, 0);
    let mut ticks = tokio::time::interval(load.interval);
    // Late is late: nobody sends two reports at once for that.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for sequence in 1..=load.n_reports {
        ticks.tick().await;
        // A closed stream says why in the answer.
        let _ = to_server.send(report(&load, idx, sequence)).await;
        match directives.message().await {
            Ok(Some(directive)) if directive.acknowledged == sequence => n_accepted += 1,
            Ok(_) => n_other += 1,
            Err(status) => return (n_accepted, n_other, Some(status)),
        }
        if sequence == 1 {
            joined_us.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        }
    }
    (n_accepted, n_other, None)
}

fn report(load: &Load, idx: usize, sequence: u64) -> NodeReport {
    let (identity, content) = if sequence == 1 {
        (Some(identity(idx)), node_report::Content::Full(full(load.n_pods, idx)))
    } else {
        (None, node_report::Content::Delta(delta(load, idx, sequence)))
    };
    NodeReport { identity, sequence, content: Some(content), ..NodeReport::default() }
}

fn identity(idx: usize) -> NodeIdentity {
    NodeIdentity {
        cluster: "cluster-1".to_owned(),
        node: format!("ip-10-0-{}-{}.internal", idx / 256, idx % 256),
        node_uid: format!("8f14e45f-ceea-467f-a12c-{idx:012}"),
        boot_id: format!("c9f0f895-fb98-4b91-b1a2-{idx:012}"),
        agent_start_id: format!("45c48cce-2e2d-4fbd-a9b5-{idx:012}"),
        agent_started_mono_ns: 1,
    }
}

fn full(n_pods: usize, idx: usize) -> NodeState {
    NodeState {
        capacity: Some(amount(64_000)),
        headroom: Some(amount(12_000)),
        pools: Some(NodePools { pools: ["reserve", "share", "reclaim"].map(pool).to_vec() }),
        pods: (0..n_pods).map(|nth| pod(idx, nth, 1)).collect(),
        health: Some(NodeHealth::default()),
    }
}

fn delta(load: &Load, idx: usize, sequence: u64) -> NodeDelta {
    let first = sequence as usize * load.n_changed;
    let changed = (first..first + load.n_changed).map(|nth| nth % load.n_pods);
    NodeDelta {
        headroom: Some(amount(10_000 + sequence)),
        pods: changed.map(|nth| pod(idx, nth, sequence)).collect(),
        ..NodeDelta::default()
    }
}

fn amount(milli_cpu: u64) -> NodeAmount {
    let numa = |numa_node| NumaAmount {
        numa_node,
        milli_cpu: Some(milli_cpu / 2),
        memory_bytes: Some(32 << 30),
    };
    NodeAmount {
        milli_cpu: Some(milli_cpu),
        memory_bytes: Some(64 << 30),
        numa_nodes: vec![numa(0), numa(1)],
    }
}

fn pool(name: &str) -> Pool {
    Pool { name: name.to_owned(), cpus: "0-15,32-47".to_owned(), n_cpus: 32, ..Pool::default() }
}

fn pod(idx: usize, nth: usize, sequence: u64) -> PodReport {
    PodReport {
        uid: format!("6512bd43-d9ca-4a6e-{:04}-{idx:012}", nth),
        namespace: format!("team-{}", nth % 7),
        name: format!("service-{nth}-7c9d8b6f5-x{nth:04}"),
        tenant: format!("tenant-{}", nth % 7),
        qos: "shared_cores".to_owned(),
        pool: Some("share".to_owned()),
        request_milli_cpu: 500,
        usage_milli_cpu: Some(300 + sequence),
        memory_current_bytes: Some(256 << 20),
        runq: Some(Runq {
            n_waits: 12_345,
            wait_p50_ns: Some(10_000),
            wait_p99_ns: Some(900_000),
            wait_p999_ns: Some(4_000_000),
            wait_total_ns: 123_456_789,
            on_cpu_ns: 300_000_000,
        }),
        suppressed: false,
    }
}
