//! The two threads that write, each with what it writes through and the journal of what it changed.

use actuator::lane::LaneDeps;
use actuator::{HostFiles, KnobFiles, LaneHandle};
use collector::clock;
use hostfs::CgroupTree;
use model::knob::Lane;
use model::plan::Outcome;
use state::Originals;
use tokio::sync::mpsc;
use tracing::warn;

use crate::config::Config;
use crate::kubernetes::{ContainerFiles, Conversation};
use crate::priority;

/// What each lane writes through.
pub(super) fn lane_files(
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
pub(super) fn start_lane(
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
