//! `cargo xtask setup`: brings everything the other commands need, once. Each step says whether its
//! result is already there; nothing here builds our own code.

pub(crate) mod bpf;
pub(crate) mod kernel;
pub(crate) mod qemu;
pub(crate) mod shell;
pub(crate) mod versions;

mod debs;
mod machine;
mod step;

use std::path::Path;

use clap::ValueEnum;

use crate::place;
use step::Step;
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
}

impl Group {
    const ALL: [Group; 2] = [Group::Agent, Group::Bench];
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
    let cache = place::cache()?;
    let versions = versions::pinned()?;
    let steps = match group {
        Group::Agent => agent_steps(&cache, &versions),
        Group::Bench => vec![step::apt("bench", &versions)],
    };
    step::run_missing(&steps, || machine::check(&versions.debian, &steps))
}

fn agent_steps<'a>(cache: &'a Path, versions: &'a Versions) -> Vec<Step<'a>> {
    let mut steps = vec![step::apt("agent", versions), busybox(cache, versions)];
    steps.push(Step {
        name: "QEMU for guests with a clock of their own".to_owned(),
        is_present: Box::new(move || qemu::is_present(cache, versions)),
        install: Box::new(move || qemu::install(cache, versions)),
    });
    for series in versions.kernel.keys() {
        steps.push(Step {
            name: format!("kernel {series} for the VM"),
            is_present: Box::new(move || kernel::is_present(cache, series, versions)),
            install: Box::new(move || kernel::install(cache, series, versions)),
        });
    }
    steps.push(bpf::llvm(cache, versions));
    steps.push(bpf::linker(cache, versions));
    steps
}

fn busybox<'a>(cache: &'a Path, versions: &'a Versions) -> Step<'a> {
    let version = versions.unpacked.get("busybox-static").map_or("", |pin| pin.version.as_str());
    Step {
        name: "busybox for the VM".to_owned(),
        is_present: Box::new(move || kernel::busybox_is_present(cache, version)),
        install: Box::new(move || kernel::install_busybox(cache, version)),
    }
}
