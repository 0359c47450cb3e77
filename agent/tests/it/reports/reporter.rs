//! An agent whose loop is played by the test: it publishes states, the sender does the rest.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::eyes::{Eyes, Status};
use agent::node_state::{AgentHealth, DecisionLog, NodeState, SuppressionStats};
use agent::report::{self, Deps, Told};
use cluster::node::NodeHeard;
use collector::clock;
use kit::nodes::{Config, Limits};
use model::decision::Decision;
use model::knob::Knobs;
use model::plan::{Finding, Plan};
use model::policy::Mode;
use model::qos::{CgroupPath, QosLevel, WorkloadName};
use model::sample::{WaitCauses, WorkloadSpec};
use model::snapshot::{HostView, RunqView, Signal, Snapshot, WorkloadView};
use model::topology::{Shape, Topology};
use model::{Bytes, CgroupId, Histogram, MilliCpu, Nanos, SlotId, Timestamp};
use prometheus_client::registry::Registry;
use proto::v1::NodeIdentity;
use runtime::pauses::{Jitter, Pauses};
use tokio::sync::watch;

use crate::server::Choice;

pub(crate) struct Agent {
    pub(crate) state: watch::Sender<Option<Arc<NodeState>>>,
    /// By endpoint, in the order of their names.
    pub(crate) told: Vec<Told>,
    registry: Registry,
    stop: watch::Sender<bool>,
}

/// `section` is that of `[report]`; the node is n1 of cluster c.
pub(crate) fn start(section: &str) -> Agent {
    start_as(section, &identity(), None)
}

/// Of a machine that the identity names, or the Node object.
pub(crate) fn start_as(
    section: &str,
    identity: &NodeIdentity,
    node: Option<watch::Receiver<NodeHeard>>,
) -> Agent {
    let text = format!("[report]\ncluster = \"c\"\nnode = \"n1\"\ninterval_ms = 1000\n{section}");
    let config = agent::config::parse(Path::new("agent.toml"), &text).expect("a good section");
    let config = config.report.expect("endpoints");
    let mut registry = Registry::with_prefix("berth_agent");
    let (state, seen) = watch::channel(None);
    let (stop, stopping) = watch::channel(false);
    let deps = Deps {
        state: seen,
        pods: None,
        node,
        metrics: report::Metrics::register(&mut registry),
        clock: clock::now,
        pauses: Pauses {
            first: Duration::from_millis(20),
            longest: Duration::from_millis(200),
            jitter: Jitter::Full,
        },
    };
    let told = report::start(&config, identity, &deps, stopping).expect("a thread");
    Agent { state, told, registry, stop }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Agent {
    pub(crate) fn publish(&self, state: NodeState) {
        self.state.send_replace(Some(Arc::new(state)));
    }

    /// A metric by its name and some of its labels; 0 where it was never set.
    pub(crate) fn count(&self, name: &str, label: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("metrics");
        let is_it = |line: &&str| line.starts_with(name) && line.contains(label);
        let values = text.lines().filter(is_it).filter_map(|line| line.rsplit_once(' '));
        values.map(|(_, value)| value.parse::<u64>().expect("a number")).sum()
    }

    /// Waits until a metric is at least so high.
    pub(crate) async fn counts(&self, name: &str, label: &str, least: u64) {
        for _ in 0..2000 {
            if self.count(name, label) >= least {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} of {label} is {}, not {least}", self.count(name, label));
    }

    /// Waits for a finding of an endpoint.
    pub(crate) async fn finding(&self, nth: usize, rule: &str) -> Finding {
        let mut told = self.told[nth].clone();
        let has = |told: &Arc<Vec<Finding>>| told.iter().any(|finding| finding.rule == rule);
        let found = tokio::time::timeout(Duration::from_secs(60), told.wait_for(has)).await;
        let found = found.expect("told in time").expect("a sender");
        found.iter().find(|finding| finding.rule == rule).expect("it is there").clone()
    }

    /// Waits until there is nothing to say of an endpoint.
    pub(crate) async fn is_well(&self, nth: usize) {
        let mut told = self.told[nth].clone();
        let well = told.wait_for(|told| told.is_empty());
        drop(tokio::time::timeout(Duration::from_secs(20), well).await.expect("well in time"));
    }
}

pub(crate) fn identity() -> NodeIdentity {
    NodeIdentity {
        cluster: "c".to_owned(),
        node: "n1".to_owned(),
        node_uid: "uid of n1".to_owned(),
        boot_id: "boot".to_owned(),
        agent_start_id: "start 1".to_owned(),
        agent_started_mono_ns: clock::now().0,
    }
}

/// A server that asks for a report every second and takes large ones.
pub(crate) fn quick() -> Choice {
    let limits = Limits { max_pods_per_node: 2000, max_report_bytes: 4 << 20, ..Limits::default() };
    let config = Config {
        report_interval: Duration::from_secs(1),
        publish_every: Duration::from_millis(10),
        limits,
        ..Config::default()
    };
    Choice { config, ..Choice::default() }
}

/// A node of now with so many workloads that each use so much.
pub(crate) fn state(n_workloads: u16, usage: u64) -> NodeState {
    let shape = Shape {
        sockets: 2,
        nodes_per_socket: 1,
        llcs_per_node: 1,
        cores_per_llc: 32,
        threads_per_core: 2,
        memory_per_node: Bytes(64 << 30),
    };
    let workloads = (0..n_workloads).map(|nth| (name(nth), workload(nth, usage)));
    let snapshot = Snapshot {
        at: clock::now(),
        topology: Arc::new(Topology::synthetic(shape)),
        host: HostView::default(),
        workloads: workloads.collect(),
        signal: Signal::Good,
        sources: BTreeMap::new(),
    };
    NodeState {
        snapshot: Arc::new(snapshot),
        plan: Arc::new(Plan::default()),
        overlay: None,
        mode: Mode::Observe,
        findings: Vec::new(),
        suppression: SuppressionStats::default(),
        agent: AgentHealth {
            rss_bytes: Some(Bytes(20 << 20)),
            cpu_ratio: None,
            eyes: Eyes { probe: works("4 programs"), pressure: works("") },
            started_at: Timestamp(0),
        },
        decisions: decisions(3),
    }
}

fn works(text: &str) -> Status {
    Status { works: true, text: text.to_owned() }
}

fn name(nth: u16) -> WorkloadName {
    WorkloadName::new(format!("team-{}/service-{nth}-7c9d8b6f5-x{nth:04}", nth % 7))
}

fn workload(nth: u16, usage: u64) -> WorkloadView {
    let runq = RunqView {
        waits: Histogram::default(),
        p50: Some(Nanos(10_000)),
        p99: Some(Nanos(900_000 + usage)),
        p999: Some(Nanos(4_000_000)),
        on_cpu: Nanos(300_000_000),
        runnable: Some(0.5),
        causes: WaitCauses { total: Nanos(123_456_789), ..WaitCauses::default() },
    };
    WorkloadView {
        spec: WorkloadSpec::plain(QosLevel::SharedCores, MilliCpu(500)),
        cgroup: CgroupPath::new(format!("/pods/{nth}")),
        cgroup_id: CgroupId(u64::from(nth) + 1000),
        slot: SlotId(nth + 1),
        populated: true,
        usage: Some(MilliCpu(usage)),
        runq: Some(runq),
        throttled_ratio: None,
        cpu_pressure: None,
        memory_current: Some(Bytes(256 << 20)),
        memory: Default::default(),
        io: Default::default(),
        knobs: Knobs::default(),
        knobs_at: Timestamp(1),
        containers: None,
    }
}

fn decisions(n_decisions: u64) -> DecisionLog {
    let mut log = DecisionLog::default();
    for nth in 0..n_decisions {
        log.push(Decision {
            at: Timestamp(nth),
            rule: "test",
            subject: "web".to_owned(),
            inputs: vec![("need", "3 CPUs".to_owned())],
            result: format!("choice {nth}"),
        });
    }
    log
}
