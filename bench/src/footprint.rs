//! `bench footprint` inside the guest: what the agent costs on a quiet node with 100 cgroups.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, Result};
use model::units::Nanos;
use serde::Serialize;

use crate::cgroup;
use crate::clock;
use crate::demo::agent::{Agent, AgentSetup, MoreWorkloads};
use crate::demo::stage::fresh_dir;
use crate::demo::tree::{self, Layout, Tree};

const N_CGROUPS: usize = 100;
const MORE: MoreWorkloads =
    MoreWorkloads { cgroup: "/pods/many-*", name: "many", qos: "shared_cores" };
/// Start-up (BPF, BTF, first Plan) is over by then.
const SETTLE: Nanos = Nanos::from_secs(10);

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Footprint {
    pub n_cgroups: usize,
    pub rss_bytes: u64,
    pub memory_current_bytes: Option<u64>,
    /// Of a guest CPU.
    pub cpu_ratio: f64,
    /// The same by thread.
    pub thread_cpu_ratio: BTreeMap<String, f64>,
    pub seconds: f64,
}

pub fn run(
    root: &std::path::Path,
    out: &std::path::Path,
    agent: &AgentSetup,
    span: Nanos,
) -> Result<Footprint> {
    tree::remove_all(root)?;
    let out = fresh_dir(out, "footprint")?;
    let tree = Tree::create(root, Layout::Siblings)?;
    let mut sleepers = populate(&tree, SETTLE.0 / 1_000_000_000 + span.0 / 1_000_000_000 + 60)?;
    let agent = Agent::start(&AgentSetup { more: vec![MORE], ..agent.clone() }, &out)?;
    clock::sleep_until(clock::now().after(SETTLE));
    let (before, threads_before, from) = (agent.cost()?, agent.threads()?, clock::now());
    clock::sleep_until(from.after(span));
    let (after, threads, to) = (agent.cost()?, agent.threads()?, clock::now());
    agent.stop()?;
    for sleeper in &mut sleepers {
        sleeper.kill().context("ending a sleeper")?;
        sleeper.wait().context("waiting for a sleeper")?;
    }
    tree.remove()?;
    let seconds = to.since(from).0 as f64 / 1e9;
    let ratio = |before: u64, after: u64| after.saturating_sub(before) as f64 / 1e6 / seconds;
    let by_thread = threads.into_iter().map(|(name, used)| {
        let before = threads_before.get(&name).map_or(0, |used| used.0);
        (name, ratio(before, used.0))
    });
    Ok(Footprint {
        n_cgroups: N_CGROUPS,
        rss_bytes: after.rss.0,
        memory_current_bytes: after.memory_current.map(|bytes| bytes.0),
        cpu_ratio: ratio(before.cpu.0, after.cpu.0),
        thread_cpu_ratio: by_thread.collect(),
        seconds,
    })
}

/// One sleeping process in each cgroup, so that none is empty.
fn populate(tree: &Tree, seconds: u64) -> Result<Vec<Child>> {
    let home = tree.service.parent().context("invariant: the service has a parent")?;
    let n_more = N_CGROUPS - tree.batch_pods.len() - 1;
    let more: Vec<PathBuf> = (0..n_more).map(|n| home.join(format!("many-{n}"))).collect();
    for dir in &more {
        cgroup::create(dir)?;
    }
    let all = more.iter().chain(&tree.batch_pods).chain([&tree.service]);
    let sleeper = |dir: &PathBuf| {
        let child = Command::new("sleep").arg(seconds.to_string()).spawn();
        let child = child.context("starting sleep")?;
        cgroup::write(dir, "cgroup.procs", &child.id().to_string())?;
        Ok(child)
    };
    all.map(sleeper).collect()
}
