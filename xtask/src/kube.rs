//! `cargo xtask kube`: the real components on the test bench, for a person. Owns the command line; the programs are built by
//! `setup::kube` and started by the crate `testkit`.

pub(crate) mod agent;
pub(crate) mod playground;
mod plugin;
pub(crate) mod servers;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::setup::kubernetes::Kubernetes;
use crate::{node, place, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Which component is built in which version
    Versions,
    /// The folders with the programs, one a line; builds them first where they are missing
    Programs,
    /// Start a cluster that stays up, with real nodes in VMs; prints its kubeconfig
    Up(playground::Up),
    /// End it, whatever state it is in
    Down,
    /// Is it up, does it answer, which nodes has it?
    Status,
    /// Run kubectl against it
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print the log of one component; without a name, which there are
    Logs { component: Option<String> },
    /// Run a command in a node's VM; its exit code comes back
    ///
    /// A program and its arguments arrive as given; one word alone is a line of shell.
    NodeExec {
        /// As `kubectl get nodes` names it
        node: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let done = match &args.action {
        Action::Versions => {
            print!("{}", setup::versions::table(&setup::versions::pinned()?));
            Ok(())
        }
        Action::Programs => programs(),
        Action::Up(up) => playground::up(up),
        Action::Down => playground::down(),
        Action::Status => return playground::status(),
        Action::Kubectl { arguments } => return playground::kubectl(arguments),
        Action::NodeExec { node, command } => return playground::node_exec(node, command),
        Action::Logs { component } => playground::logs(component.as_deref()),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn programs() -> anyhow::Result<()> {
    setup::ensure(setup::Group::Kube)?;
    for folder in folders(&Kubernetes::usual())? {
        println!("{}", folder.display());
    }
    Ok(())
}

/// Where the test kit finds what it starts: the programs, a node's image, Debian's programs for a node.
pub(crate) fn folders(kubernetes: &Kubernetes) -> anyhow::Result<Vec<PathBuf>> {
    let (cache, versions) = (place::cache()?, setup::versions::pinned()?);
    let mut folders = setup::kube::folders(&cache, &versions, kubernetes)?;
    folders.push(node::folder(&cache, &versions, kubernetes)?);
    folders.push(setup::packages::folder(&cache, "kube", &versions));
    folders.push(setup::packages::folder(&cache, setup::monitoring::GROUP, &versions));
    Ok(folders)
}
