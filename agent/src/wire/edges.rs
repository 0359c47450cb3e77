//! What the host offers: its cgroups, its BPF, its pressure. Opens each, or learns why not; starts the threads that read.

use std::sync::Arc;

use collector::rules::Rule;
use collector::workloads::{Thresholds, WorkloadReader};
use collector::{Collector, SourcePlan, Waker};
use hostfs::{CgroupTree, HostRoot};
use model::qos::CgroupPath;
use model::sample::{PodOnNode, SourceFault};
use model::{Bytes, Nanos};
use probe::{BurstReader, LoadError, LoadOptions, OffProbe, ProbeSource};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::eyes::{self, Eyes, Status, Witness};
use crate::kubernetes::Conversation;

/// One record per victim and this long is enough: the first one suppresses, later ones only renew.
const BURST_GAP: Nanos = Nanos::from_millis(200);
/// A record is not acted on while more than half of a hold is left. The next one must come well
/// before the hold ends, or a wait that begins right after it is told a whole gap late.
const GAPS_PER_HOLD: u64 = 4;

/// What the host offers.
#[expect(missing_debug_implementations, reason = "a probe source has nothing to print")]
pub struct Edges {
    /// `Err` says why this host is observe-only.
    pub tree: Result<CgroupTree, String>,
    pub probe: Box<dyn ProbeSource>,
    pub bursts: Option<BurstReader>,
    pub eyes: Eyes,
}

/// The managed subtree.
pub fn open_tree(config: &Config) -> anyhow::Result<CgroupTree> {
    let host = HostRoot::new(&config.host.root);
    let managed = CgroupPath::new(config.host.managed_cgroup.as_str());
    Ok(CgroupTree::open(&host, &managed)?)
}

/// Opens cgroups and probe; neither failing stops the agent.
pub fn open_edges(config: &Config) -> anyhow::Result<Edges> {
    let tree = open_tree(config).map_err(|error| format!("{error:#}"));
    if let Err(why) = &tree {
        warn!(%why, "This host is observe-only");
    }
    let (probe, bursts, status) = open_probe(config);
    let pressure = eyes::pressure(&HostRoot::new(&config.host.root));
    let eyes = Eyes { probe: status, pressure };
    match eyes.witness() {
        Witness::RunQueue => {}
        witness @ Witness::RunQueueAlone => info!(%witness, psi = %eyes.pressure.text, "No PSI"),
        witness => {
            let (probe, psi) = (&eyes.probe.text, &eyes.pressure.text);
            error!(%witness, %probe, %psi, "No BPF probes");
        }
    }
    Ok(Edges { tree, probe, bursts, eyes })
}

fn open_probe(config: &Config) -> (Box<dyn ProbeSource>, Option<BurstReader>, Status) {
    if !config.agent.probe {
        return probe_off("turned off by agent.probe = false".to_owned());
    }
    let facts = probe::probe_host(&config.host.root);
    let plan = probe::read_plan(&facts, Bytes(config.agent.probe_memory_bytes));
    let hold = config.policy.suppression.hold;
    let options = LoadOptions { burst_gap: BURST_GAP.min(Nanos(hold.0 / GAPS_PER_HOLD)) };
    match probe::load(&config.host.root, &plan, options) {
        Ok(mut probe) => {
            let text = describe(probe.attached(), probe.map_plan());
            info!(probe = %text, "BPF probes attached");
            let bursts = probe.take_bursts();
            (Box::new(probe), bursts, Status { works: true, text })
        }
        Err(error) => {
            if let LoadError::Verifier { log_tail, .. } = &error {
                error!(log = %log_tail, "The verifier's log");
            }
            probe_off(kit::chain(&error).to_string())
        }
    }
}

fn probe_off(why: String) -> (Box<dyn ProbeSource>, Option<BurstReader>, Status) {
    let status = Status { works: false, text: why.clone() };
    (Box::new(OffProbe { why }), None, status)
}

/// Starts the reading threads.
pub fn start_collector(
    config: &Config,
    tree: Result<CgroupTree, String>,
    probe: Box<dyn ProbeSource>,
    talk: Option<&Conversation>,
) -> anyhow::Result<Collector> {
    let host = HostRoot::new(&config.host.root);
    let tick = config.agent.tick;
    let plan = |name, period| SourcePlan { name, period, deadline: Nanos(tick.0.max(1) * 2) };
    let rules: Vec<Rule> = config
        .workloads
        .iter()
        .map(|rule| Rule {
            cgroup: rule.cgroup.clone(),
            name: rule.name.clone(),
            spec: rule.spec.clone(),
        })
        .collect();
    let workloads = match tree {
        Ok(tree) => {
            let thresholds = Thresholds::of(&config.policy);
            let reader = WorkloadReader::new(tree, rules, thresholds, probe);
            let reader = match talk {
                Some(talk) => reader.with_pods(talk.pods.clone()),
                None => reader,
            };
            let source = collector::workloads::spawn(plan("read-cgroups", tick), reader)?;
            if let Some(Conversation { handle, pods, .. }) = talk {
                handle.spawn(wake_at_change(pods.clone(), source.waker()));
            }
            source
        }
        Err(why) => collector::spawn(plan("read-cgroups", tick), move |_| {
            Err(SourceFault::Unsupported { why: why.clone() })
        })?,
    };
    // Topology changes by hotplug only; ten seconds late is early enough to stop using a CPU
    // that the kernel has already emptied.
    let topology = plan("read-topology", Nanos(tick.0 * 10));
    Ok(Collector {
        topology: collector::host::spawn_topology(topology, host.clone())?,
        host: collector::host::spawn_host(plan("read-host", tick), host)?,
        workloads,
    })
}

/// What a pod asks for is in its files before the second is over.
async fn wake_at_change(mut pods: watch::Receiver<Arc<Vec<PodOnNode>>>, reader: Waker) {
    while pods.changed().await.is_ok() {
        reader.wake();
    }
}

/// What is there, not what was planned: a second choice says why it is one.
fn describe(attached: &probe::Attached, maps: probe::MapPlan) -> String {
    let size = format!("{} slots, maps of {} KiB", maps.n_slots, maps.bytes().0 >> 10);
    match &attached.instead_of {
        None => format!("attached by {}, {size}", attached.hooks),
        Some(error) => {
            format!("attached by {} as a second choice, {size}: {error}", attached.hooks)
        }
    }
}
