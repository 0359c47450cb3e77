//! The composition root: opens every edge (or learns why not), starts the threads, hands them to
//! the loop. The one place that knows all crates at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actuator::lane::LaneDeps;
use actuator::{HostFiles, KnobFiles, LaneHandle};
use advisor::turn::TurnState;
use anyhow::Context;
use collector::rules::Rule;
use collector::workloads::{Thresholds, WorkloadReader};
use collector::{Collector, SourcePlan, clock};
use hostfs::{CgroupTree, HostRoot};
use model::knob::Lane;
use model::plan::{Outcome, Plan};
use model::policy::{Mode, Policy};
use model::qos::CgroupPath;
use model::sample::{PodOnNode, SourceFault};
use model::wire::WireError;
use model::{Bytes, Nanos};
use probe::{BurstReader, LoadError, LoadOptions, OffProbe, ProbeSource};
use prometheus_client::registry::Registry;
use state::Originals;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::doctor::{self, StartFacts};
use crate::eyes::{self, Eyes, Status, Witness};
use crate::kubernetes::{self, ContainerFiles, Conversation};
use crate::metrics::Metrics;
use crate::node_loop::inherited::Inherited;
use crate::node_loop::publish::Publisher;
use crate::node_loop::{self, LoopDeps};
use crate::node_state::{NodeState, Request};
use crate::policy_table::PolicyTable;
use crate::pressure::{self, Victims};
use crate::recorder::{self, Recorder};
use crate::recording::Recording;
use crate::serve::{self, ServeDeps};
use crate::watchdog::{self, WatchdogKeeper, Watched};
use crate::{admin, own_cgroup, planner, priority, ring};

/// Outcomes waiting for the loop: a batch of 1000 Steps fits.
const OUTCOMES: usize = 4096;
/// One record per victim and this long is enough: the first one suppresses, later ones only renew.
const BURST_GAP: Nanos = Nanos::from_millis(200);
/// A record is not acted on while more than half of a hold is left. The next one must come well
/// before the hold ends, or a wait that begins right after it is told a whole gap late.
const GAPS_PER_HOLD: u64 = 4;
/// 300 cpusets at 120 ms beside hogs, and as much again.
const RESTORED_WITHIN: Duration = Duration::from_secs(60);
/// Requests waiting for the loop.
const REQUESTS: usize = 16;

/// What the host offers.
#[expect(missing_debug_implementations, reason = "a probe source has nothing to print")]
pub struct Edges {
    /// `Err` says why this host is observe-only.
    pub tree: Result<CgroupTree, String>,
    pub probe: Box<dyn ProbeSource>,
    pub bursts: Option<BurstReader>,
    pub eyes: Eyes,
}

/// A running agent.
#[derive(Debug)]
pub struct Started {
    /// The loop; it ends when everything is put back.
    pub thread: std::thread::JoinHandle<anyhow::Result<()>>,
    /// `None` before the first tick.
    pub state: watch::Receiver<Option<Arc<NodeState>>>,
}

/// Runs the agent until SIGTERM or SIGINT.
pub fn run(config: Config, config_path: &Path) -> anyhow::Result<()> {
    let dir = &config.agent.runtime_dir;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let _lock = watchdog::lock_after_watchdog(dir, RESTORED_WITHIN)?;
    priority::raise_open_files();
    priority::give_way();
    own_cgroup::join(&config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shutdown = runtime.block_on(async { kit::shutdown_signal() })?;
    let (stop, stopping) = watch::channel(false);
    let edges = open_edges(&config)?;
    let agent = start(config, config_path, edges, stopping)?;
    runtime.block_on(async {
        let signal = shutdown.await;
        info!(signal, "Stopping");
        stop.send_replace(true);
    });
    agent.thread.join().map_err(|_panic| anyhow::anyhow!("the loop panicked"))?
}

/// Puts back what a dead agent left; refuses beside a living one.
pub fn cleanup(config: &Config) -> anyhow::Result<()> {
    let dir = &config.agent.runtime_dir;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let _lock = watchdog::lock_after_watchdog(dir, RESTORED_WITHIN)?;
    let restored = watchdog::restore_all(dir, &mut HostFiles::new(open_tree(config)?));
    anyhow::ensure!(
        restored.failures.is_empty(),
        "{} files were not restored",
        restored.failures.len()
    );
    Ok(())
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
    pods: Option<watch::Receiver<Arc<Vec<PodOnNode>>>>,
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
            let reader = match pods {
                Some(pods) => reader.with_pods(pods),
                None => reader,
            };
            collector::workloads::spawn(plan("read-cgroups", tick), reader)?
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

/// Puts the agent together on `edges` and sets it going, until `stopping` turns true.
pub fn start(
    config: Config,
    config_path: &Path,
    edges: Edges,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<Started> {
    let started_at = clock::now();
    let tree = edges.tree.clone();
    let observe_only = edges.tree.as_ref().err().cloned();
    let (outcomes, outcome_queue) = mpsc::channel(OUTCOMES);
    let (requests, request_queue) = mpsc::channel(REQUESTS);
    let (seen, talk) = start_talk(&config, &requests)?;
    let (fast, slow) = lane_files(&edges.tree, talk.as_ref());
    let (fast, n_fast) = start_lane(&config, (Lane::Fast, fast), outcomes.clone())?;
    let (slow, n_slow) = start_lane(&config, (Lane::Slow, slow), outcomes)?;
    // One that enforces goes on from what it finds, and knows the originals for its end.
    let inherited = match (config.policy.mode, &observe_only) {
        (Mode::Observe, None) => Inherited::put_back(n_fast + n_slow, [&fast, &slow]),
        _ => Inherited::default(),
    };
    let (pods, told) = talk.map(|talk| (talk.pods, talk.told)).unzip();
    let collector = start_collector(&config, edges.tree, edges.probe, pods)?;
    let policy = match &observe_only {
        Some(_) => Policy { mode: Mode::Observe, ..config.policy.clone() },
        None => config.policy.clone(),
    };
    let turn = restored_turn(&config, policy);
    let (publish, state) = watch::channel(None);
    let state_seen = state.clone();
    let eyes = edges.eyes;
    let publisher = Publisher::new(publish, eyes.clone(), started_at);
    let witness = eyes.witness();
    let facts = StartFacts { eyes, realtime: false, memory_locked: priority::lock_memory() };
    let recorder = Recorder::start(config.agent.runtime_dir.clone())?;
    let recording = start_recording(&config);
    let watchdog = match observe_only {
        Some(_) => None,
        None => Some(WatchdogKeeper::start(Watched { config: config_path.to_owned() })?),
    };
    let tick = config.agent.tick;
    let (victims, victims_seen) = watch::channel(Victims::new());
    let bursts = match (edges.bursts, tree) {
        (Some(reader), _) => Some(ring::follow(reader)?),
        (None, Ok(tree)) if witness == Witness::Pressure => {
            Some(pressure::follow(tree, victims_seen)?)
        }
        (None, _) => None,
    };
    let deps = LoopDeps {
        collector,
        turn,
        fast,
        slow,
        outcomes: outcome_queue,
        bursts,
        requests: request_queue,
        publisher,
        recorder,
        recording,
        watchdog,
        victims,
        tick,
        observe_only,
        inherited,
        told: told.unwrap_or_else(|| watch::channel(Arc::default()).1),
        blind: (witness == Witness::Nobody).then(|| witness.to_string()),
    };
    let path = config_path.to_owned();
    let name = "berth-loop".to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        // Before the loop is raised: a thread begins as the one that starts it is.
        let planner = planner::start()?;
        let facts = StartFacts { realtime: priority::raise_this_thread("loop"), ..facts };
        start_servers((config, path), facts, state_seen, requests, seen, stopping.clone())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let stop = until(stopping);
            node_loop::run(deps, planner, stop).await;
        });
        anyhow::Ok(())
    })?;
    Ok(Started { thread, state })
}

async fn until(mut stopping: watch::Receiver<bool>) {
    // An error means that the main thread is gone: stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// The metrics, and the conversation with a container runtime where the node has one: it counts as well.
fn start_talk(
    config: &Config,
    requests: &mpsc::Sender<Request>,
) -> anyhow::Result<(Exposed, Option<Conversation>)> {
    let mut registry = Registry::with_prefix("berth_agent");
    let metrics = Metrics::register(&mut registry, std::time::SystemTime::now());
    let Some(it) = &config.kubernetes else { return Ok((Exposed { registry, metrics }, None)) };
    let metrics = metrics.with_runtime(&mut registry);
    let (managed, told) = (&config.host.managed_cgroup, metrics.runtime.clone());
    let talk = kubernetes::start(it, managed, requests.clone(), told)?;
    Ok((Exposed { registry, metrics }, Some(talk)))
}

/// What each lane writes through.
fn lane_files(
    tree: &Result<CgroupTree, String>,
    talk: Option<&Conversation>,
) -> (Box<dyn KnobFiles>, Box<dyn KnobFiles>) {
    // Without cgroup v2 the mode is pinned to observe and no lane ever opens a file.
    let tree = || tree.clone().unwrap_or_else(|_why| CgroupTree::at("/nonexistent"));
    let host = || HostFiles::new(tree());
    let slow: Box<dyn KnobFiles> = match talk {
        Some(it) => Box::new(ContainerFiles::new(host(), it.runtime.clone(), it.handle.clone())),
        None => Box::new(host()),
    };
    (Box::new(host()), slow)
}

/// A lane, and how many originals an agent before left in its journal.
fn start_lane(
    config: &Config,
    (lane, files): (Lane, Box<dyn KnobFiles>),
    outcomes: mpsc::Sender<Outcome>,
) -> anyhow::Result<(LaneHandle, usize)> {
    let originals = Originals::open(&config.agent.runtime_dir, lane)?;
    if originals.damaged_lines > 0 {
        warn!(lines = originals.damaged_lines, ?lane, "Damaged lines in a journal of originals");
    }
    let n_found = originals.iter().count();
    let lane = actuator::spawn(LaneDeps {
        lane,
        files,
        originals,
        clock: clock::now,
        outcomes: Box::new(move |outcome| {
            // The loop is gone only at the very end; then nobody needs the Outcome.
            let _ = outcomes.blocking_send(outcome);
        }),
        on_start: Box::new(move || match lane {
            Lane::Fast => drop(priority::raise_this_thread("fast lane")),
            Lane::Slow => priority::take_turns(),
        }),
    })?;
    Ok((lane, n_found))
}

/// A node is looked after without a recording rather than not at all.
fn start_recording(config: &Config) -> Recording {
    let Some(wanted) = &config.recording else { return Recording::off() };
    match Recording::start(wanted) {
        Ok(recording) => recording,
        Err(error) => {
            error!(path = %wanted.path.display(), %error, "Nothing is recorded");
            Recording::off()
        }
    }
}

/// The turn with the last Plan of the agent before, if there is a good one.
fn restored_turn(config: &Config, policy: Policy) -> TurnState {
    let path = config.agent.runtime_dir.join(recorder::CHECKPOINT);
    let mut turn = TurnState::new(policy);
    match state::load_checkpoint(&path) {
        Ok(None) => {}
        Ok(Some(bytes)) => match plan_of(&bytes) {
            Ok(plan) => {
                info!(generation = plan.generation.0, "Continuing from the checkpoint");
                turn = TurnState::restored(turn.policy().clone(), Some(plan));
            }
            Err(error) => {
                error!(error = %kit::chain(&error), "The checkpoint is not used: clean start");
            }
        },
        Err(error) => {
            error!(error = %kit::chain(&error), "The checkpoint is not used: clean start");
        }
    }
    turn
}

fn plan_of(bytes: &[u8]) -> Result<Plan, WireError> {
    Plan::try_from(model::wire::from_json::<model::wire::Plan>(bytes)?)
}

/// The metrics and where they are registered.
struct Exposed {
    registry: Registry,
    metrics: Metrics,
}

/// The socket and the admin port, on a thread that gives way: readers never delay the loop.
fn start_servers(
    (config, path): (Config, PathBuf),
    facts: StartFacts,
    state: watch::Receiver<Option<Arc<NodeState>>>,
    requests: mpsc::Sender<Request>,
    exposed: Exposed,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("berth-serve".to_owned());
    thread.spawn(move || {
        priority::give_way();
        runtime.block_on(async move {
            tokio::spawn(exposed.metrics.follow(state.clone()));
            let registry = Arc::new(exposed.registry);
            let stop = || until(stopping.clone());
            let admin = admin::serve(&config, state.clone(), Arc::clone(&registry), stop());
            let metrics = admin::serve_metrics(&config, registry, stop());
            let socket = serve_socket((&config, &path), facts, state, requests, stop());
            tokio::join!(admin, metrics, socket);
        });
    })?;
    Ok(())
}

/// Follows the published state from its first value on; `None` when there never will be one.
async fn once_published(
    state: &mut watch::Receiver<Option<Arc<NodeState>>>,
) -> Option<watch::Receiver<Arc<NodeState>>> {
    let first = state.wait_for(Option::is_some).await.ok()?.clone()?;
    let (follow, following) = watch::channel(first);
    let mut source = state.clone();
    tokio::spawn(async move {
        while source.changed().await.is_ok() {
            let next = source.borrow_and_update().clone();
            if let Some(next) = next
                && follow.send(next).is_err()
            {
                return;
            }
        }
    });
    Some(following)
}

async fn serve_socket(
    (config, config_path): (&Config, &Path),
    facts: StartFacts,
    mut state: watch::Receiver<Option<Arc<NodeState>>>,
    requests: mpsc::Sender<Request>,
    stop: impl Future<Output = ()>,
) {
    let Some(state) = once_published(&mut state).await else {
        return;
    };
    let doctor_config = config.clone();
    let planned = state.clone();
    let doctor = Arc::new(move || {
        let plan = Arc::clone(&planned.borrow().plan);
        doctor::checks(&doctor_config, &facts, &plan)
    });
    let policy = Arc::new(PolicyTable::new(config, config_path));
    let deps = ServeDeps { state, requests, doctor, policy, clock: clock::now };
    if let Err(error) = serve::serve(&config.agent.socket, deps, stop).await {
        error!(error = %kit::chain(&error), "The agent's socket is not served");
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
