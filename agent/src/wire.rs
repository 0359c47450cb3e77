//! The composition root: opens every edge (or learns why not), starts the threads, hands them to
//! the loop. The one place that knows all crates at once.

mod edges;
mod lanes;
mod outside;
mod servers;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actuator::HostFiles;
use advisor::turn::TurnState;
use anyhow::Context;
use cluster::configz::ConfigHeard;
use collector::clock;
use hostfs::CgroupTree;
use model::knob::Lane;
use model::plan::Plan;
use model::policy::{Mode, Policy};
use model::sample::Burst;
use model::wire::WireError;
use probe::BurstReader;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

pub use self::edges::{Edges, open_edges, open_tree, start_collector};
use self::lanes::{lane_files, start_lane};
use self::outside::{About, Outside};
use self::servers::{Exposed, start_servers};
use crate::config::Config;
use crate::doctor::StartFacts;
use crate::eyes::Witness;
use crate::metrics::Metrics;
use crate::node_loop::inherited::Inherited;
use crate::node_loop::kept;
use crate::node_loop::publish::Publisher;
use crate::node_loop::{self, LoopDeps};
use crate::node_state::NodeState;
use crate::pressure::{self, Victims};
use crate::recorder::{self, Recorder};
use crate::recording::Recording;
use crate::watchdog::{self, WatchdogKeeper, Watched};
use crate::{own_cgroup, planner, priority, rights, ring};

/// Outcomes waiting for the loop: a batch of 1000 Steps fits.
const OUTCOMES: usize = 4096;
/// 300 cpusets at 120 ms beside hogs, and as much again.
const RESTORED_WITHIN: Duration = Duration::from_secs(60);
/// Requests waiting for the loop.
const REQUESTS: usize = 16;

/// A running agent.
#[derive(Debug)]
pub struct Started {
    /// The loop; it ends when everything is put back.
    pub thread: std::thread::JoinHandle<anyhow::Result<()>>,
    /// `None` before the first tick.
    pub state: watch::Receiver<Option<Arc<NodeState>>>,
    /// What is told at the end to whom it concerns; it ends by itself.
    pub farewell: Option<std::thread::JoinHandle<()>>,
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
    let mut edges = open_edges(&config)?;
    rights::give_up_after_start(&mut *edges.probe);
    let agent = start(config, config_path, edges, stopping)?;
    runtime.block_on(async {
        let signal = shutdown.await;
        info!(signal, "Stopping");
        stop.send_replace(true);
    });
    let ended = agent.thread.join().map_err(|_panic| anyhow::anyhow!("the loop panicked"))?;
    if agent.farewell.is_some_and(|thread| thread.join().is_err()) {
        warn!("The thread that talks to the apiserver panicked");
    }
    ended
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
    let (publish, state) = watch::channel(None);
    let mut registry = Registry::with_prefix("berth_agent");
    let mut metrics = Metrics::register(&mut registry, std::time::SystemTime::now());
    let (about, state_seen) = (state.clone(), state.clone());
    let about =
        About { state: about, requests: requests.clone(), started_at, stopping: stopping.clone() };
    let outside = Outside::begin(&config, &about, &mut registry, &mut metrics)?;
    let (fast, slow) = lane_files(&edges.tree, outside.runtime.as_ref());
    let (fast, n_fast) = start_lane(&config, (Lane::Fast, fast), outcomes.clone())?;
    let (slow, n_slow) = start_lane(&config, (Lane::Slow, slow), outcomes)?;
    // One that enforces goes on from what it finds, and knows the originals for its end.
    let inherited = match (config.policy.mode, &observe_only) {
        (Mode::Observe, None) => Inherited::put_back(n_fast + n_slow, [&fast, &slow]),
        _ => Inherited::default(),
    };
    let collector = start_collector(&config, edges.tree, edges.probe, outside.runtime.as_ref())?;
    let mut policy = first_policy(&config, &outside.kubelet.borrow());
    policy.mode = observe_only.as_ref().map_or(policy.mode, |_why| Mode::Observe);
    let turn = restored_turn(&config, policy);
    let eyes = edges.eyes;
    let publisher = Publisher::new(publish, eyes.clone(), started_at);
    let witness = eyes.witness();
    let facts = StartFacts { eyes, realtime: false, memory_locked: priority::lock_memory() };
    let kubelet = outside.kubelet.clone();
    let recorder = Recorder::start(config.agent.runtime_dir.clone())?;
    let recording = start_recording(&config);
    let watchdog = match observe_only {
        Some(_) => None,
        None => Some(WatchdogKeeper::start(Watched { config: config_path.to_owned() })?),
    };
    let tick = config.agent.tick;
    let (victims, victims_seen) = watch::channel(Victims::new());
    let bursts = follow_bursts(edges.bursts, (tree, witness), victims_seen)?;
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
        told: outside.told,
        kubelet: outside.kubelet,
        blind: (witness == Witness::Nobody).then(|| witness.to_string()),
    };
    let path = config_path.to_owned();
    let name = "berth-loop".to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        // Before the loop is raised: a thread begins as the one that starts it is.
        let planner = planner::start()?;
        let facts = StartFacts { realtime: priority::raise_this_thread("loop"), ..facts };
        let seen = Exposed { registry, metrics };
        start_servers(
            (config, path),
            (facts, kubelet),
            state_seen,
            requests,
            seen,
            stopping.clone(),
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let stop = until(stopping);
            node_loop::run(deps, planner, stop).await;
        });
        anyhow::Ok(())
    })?;
    Ok(Started { thread, state, farewell: outside.farewell })
}

/// From the ring buffer, or from pressure triggers where there is none.
fn follow_bursts(
    reader: Option<BurstReader>,
    (tree, witness): (Result<CgroupTree, String>, Witness),
    victims: watch::Receiver<Victims>,
) -> io::Result<Option<mpsc::Receiver<Burst>>> {
    Ok(match (reader, tree) {
        (Some(reader), _) => Some(ring::follow(reader)?),
        (None, Ok(tree)) if witness == Witness::Pressure => Some(pressure::follow(tree, victims)?),
        (None, _) => None,
    })
}

fn first_policy(config: &Config, kubelet: &ConfigHeard) -> Policy {
    let told = kubelet.config.as_deref();
    let keeping = told.and_then(|told| kept::keeping(&config.policy, told));
    keeping.unwrap_or_else(|| config.policy.clone())
}

async fn until(mut stopping: watch::Receiver<bool>) {
    // An error means that the main thread is gone: stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
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
