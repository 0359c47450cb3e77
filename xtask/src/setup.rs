//! `cargo xtask setup`: brings everything the other commands need, once. Each step says whether its
//! result is already there; nothing here builds our own code.

pub(crate) mod bpf;
pub(crate) mod kernel;
pub(crate) mod kube;
pub(crate) mod kubernetes;
pub(crate) mod monitoring;
pub(crate) mod packages;
pub(crate) mod qemu;
pub(crate) mod shelf;
pub(crate) mod shell;
pub(crate) mod suite;
pub(crate) mod versions;

mod debs;
mod go;
mod machine;
mod step;

use std::path::Path;

use clap::ValueEnum;

use crate::{node, place};
use kubernetes::Kubernetes;
use step::{Needs, Step};
use versions::Versions;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what one group needs; everything when left out
    #[arg(long)]
    group: Option<Group>,
}

/// What a set-up is for, so that nobody waits for what he does not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// The agent: QEMU, guest kernels, the BPF tool chain
    Agent,
    /// What only `cargo xtask bench` needs: valgrind, which counts instructions
    Bench,
    /// Real peers of the e2e tests, built with Go: etcd and Kubernetes. Needs no root
    ControlPlane,
    /// The same and a node in a VM: containerd, network plugins, the node's disk; promtool, for alerts. Needs root for QEMU only
    Kube,
    /// Other stores and what stands between them and an apiserver: PostgreSQL, kine
    Store,
    /// Peers and load of the gateway: HAProxy, nginx, h2load, wrk
    Gateway,
    /// A browser for the pages: Chromium
    Ui,
}

impl Group {
    /// `Kube` includes `ControlPlane`.
    const ALL: [Group; 6] =
        [Group::Agent, Group::Bench, Group::Kube, Group::Store, Group::Gateway, Group::Ui];
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let groups = args.group.map_or_else(|| Group::ALL.to_vec(), |group| vec![group]);
    for group in groups {
        ensure(group)?;
    }
    println!("setup: everything is there");
    Ok(())
}

/// Makes sure a group is set up; other commands call this before they need its tools.
pub(crate) fn ensure(group: Group) -> anyhow::Result<()> {
    ensure_with(group, &Kubernetes::usual())
}

/// The group `Kube` with another Kubernetes than the usual one.
pub(crate) fn ensure_nodes(kubernetes: &Kubernetes) -> anyhow::Result<()> {
    ensure_with(Group::Kube, kubernetes)
}

/// The tests of Kubernetes' storage layer, and these components as servers for them.
pub(crate) fn ensure_storage_suite(servers: &[&str]) -> anyhow::Result<()> {
    let (cache, versions) = (place::cache()?, versions::pinned()?);
    let mut steps = kube::steps(&cache, &versions, servers);
    steps.push(suite::step(&cache, &versions));
    step::run_missing(&steps, |missing| machine::prepare(&versions.debian, missing))
}

/// Some of the programs that Go builds, for who needs no whole group.
pub(crate) fn ensure_programs(names: &[&str]) -> anyhow::Result<()> {
    let (cache, versions) = (place::cache()?, versions::pinned()?);
    let steps = kube::steps(&cache, &versions, names);
    step::run_missing(&steps, |missing| machine::prepare(&versions.debian, missing))
}

fn ensure_with(group: Group, kubernetes: &Kubernetes) -> anyhow::Result<()> {
    let cache = place::cache()?;
    let versions = versions::pinned()?;
    let steps = match group {
        Group::Agent => agent_steps(&cache, &versions),
        Group::Bench => vec![step::apt("bench", &versions)],
        Group::ControlPlane => kube::steps(&cache, &versions, &kube::control_plane(kubernetes)),
        Group::Kube => node_steps(&cache, &versions, kubernetes),
        Group::Store => {
            let mut steps = kube::steps(&cache, &versions, &kube::STORE);
            steps.push(packages::step(&cache, "store", &versions));
            steps
        }
        Group::Gateway => vec![packages::step(&cache, "gateway", &versions)],
        Group::Ui => vec![packages::step(&cache, "ui", &versions)],
    };
    step::run_missing(&steps, |missing| machine::prepare(&versions.debian, missing))
}

/// The disk comes last: it is made of the others.
fn node_steps<'a>(
    cache: &'a Path,
    versions: &'a Versions,
    kubernetes: &'a Kubernetes,
) -> Vec<Step<'a>> {
    let mut steps = kube::steps(cache, versions, &kube::with_node(kubernetes));
    steps.extend(guest_steps(cache, versions));
    steps.push(packages::step(cache, "kube", versions));
    steps.push(monitoring::step(cache, versions));
    steps.push(Step {
        name: "the disk of a node (boots it once)".to_owned(),
        needs: Needs::Nothing,
        is_present: Box::new(move || node::is_present(cache, versions, kubernetes)),
        install: Box::new(move || node::install(cache, versions, kubernetes)),
    });
    steps
}

/// What every VM needs.
fn guest_steps<'a>(cache: &'a Path, versions: &'a Versions) -> Vec<Step<'a>> {
    let mut steps = vec![step::apt("vm", versions), kernel::busybox_step(cache, versions)];
    for series in versions.kernel.keys() {
        steps.push(Step {
            name: format!("kernel {series} for the VM"),
            needs: Needs::Archive,
            is_present: Box::new(move || kernel::is_present(cache, series, versions)),
            install: Box::new(move || kernel::install(cache, series, versions)),
        });
    }
    steps
}

fn agent_steps<'a>(cache: &'a Path, versions: &'a Versions) -> Vec<Step<'a>> {
    let mut steps = guest_steps(cache, versions);
    steps.push(step::apt("agent", versions));
    steps.push(qemu::step(cache, versions));
    steps.push(bpf::llvm(cache, versions));
    steps.push(bpf::linker(cache, versions));
    steps
}
