//! `berth-control`: the services of Berth's control plane, each as a subcommand. Owns the command line and exit codes; what a service does
//! is in its own crate.

mod credentials;
#[cfg(feature = "metastore")]
mod metastore;
mod nodes;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The control plane of Berth
#[derive(Debug, Parser)]
#[command(name = "berth-control", version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, Subcommand)]
enum Service {
    /// A metadata store with the API of etcd, for apiservers
    #[cfg(feature = "metastore")]
    Metastore(Box<metastore::Command>),
    /// The nodes that report into a store, as they stand there
    Nodes(nodes::Args),
}

fn main() -> ExitCode {
    match Args::parse().service {
        #[cfg(feature = "metastore")]
        Service::Metastore(args) => metastore::run(*args),
        Service::Nodes(args) => nodes::run(&args),
    }
}
