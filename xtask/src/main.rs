//! The one door to everything a developer or CI does: `cargo xtask COMMAND`. Owns the command
//! line; every command lives in the module of its name.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks here")]

mod bench;
mod cargo;
mod check;
mod codegen;
mod compiled;
mod demo;
mod deny;
mod deps;
mod ebpf;
mod image;
mod kube;
mod node;
mod place;
mod plot;
mod setup;
mod soak;
mod storage_suite;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Build, check, test and show Berth")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install and cache what the other commands need (idempotent)
    Setup(setup::Args),
    /// Build the BPF programs
    Ebpf(ebpf::Args),
    /// Format, lints, tidiness, allowed crate edges, licences, generated code, docs
    Check(check::Args),
    /// Run the test tiers and print one closing line
    Test(test::Args),
    /// Boot a small VM with a real kernel
    Vm(vm::Args),
    /// A latency-critical service beside batch pods, under several managers and under Berth
    Demo(demo::Args),
    /// Run one benchmark and write bench/results/NAME.json
    Bench(bench::Args),
    /// Real etcd and Kubernetes on the test bench
    Kube(kube::Args),
    /// Write a container image of the test bench as an archive
    Image(image::Args),
    /// Long forms of tests
    Soak(soak::Args),
    /// Kubernetes' own tests of its storage layer against any server with etcd's API
    StorageSuite(storage_suite::Args),
    /// Regenerate the protobuf code in proto/
    Codegen(codegen::Args),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let done = match Cli::parse().command {
        Command::Vm(args) => return vm::run(&args),
        Command::Test(args) => return test::run(&args),
        Command::Soak(args) => return soak::run(&args),
        Command::StorageSuite(args) => return storage_suite::run(&args),
        Command::Kube(args) => return kube::run(&args),
        Command::Setup(args) => setup::run(&args),
        Command::Ebpf(args) => ebpf::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Codegen(args) => codegen::run(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// Two options of one name, for example, are found by nobody before the command runs.
    #[test]
    fn every_command_line_is_one_that_can_be_read() {
        super::Cli::command().debug_assert();
    }
}
