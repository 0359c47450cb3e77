//! `cargo xtask soak NAME`: the long forms of tests, too long for every change. One row per soak.

mod fuzz;

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use crate::bench;
use crate::setup::kubernetes::Choice;
use crate::storage_suite;
use crate::test::{self, Cases, LongMetastore};
use crate::vm::Kernel;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    name: Soak,
    /// How long each fuzz target runs
    #[arg(long, value_name = "N", default_value_t = 180)]
    seconds: u64,
    /// How often the e2e tier runs
    #[arg(long, value_name = "N", default_value_t = 20)]
    rounds: u32,
    /// Crashes of the metastore: kills of its process, and as many cuts of the power
    #[arg(long, value_name = "N", default_value_t = 1000)]
    crashes: u32,
    /// Only this fuzz target
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    kubernetes: Choice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Soak {
    /// All VM cases on every kernel, where `test` runs all on one and the smoke set on the other
    Vm,
    /// VM cases too long for every change, those whose name contains `soak_`: the agent under churn for five minutes
    Long,
    /// The agent on a real node for minutes: killed every five seconds under churn, beside a hundred pods
    Agent,
    /// The e2e tier on each other Kubernetes, cases with several nodes or very many agents, and the whole tier again and again until one fails
    Kube,
    /// The parsers of host files, pods and documents, and what the metastore reads, on what a fuzzer makes up
    Fuzz,
    /// The metastore killed, without power, beside an etcd and under Kubernetes' own storage tests
    Metastore,
    /// A million objects, 20,000 leases and 100 watchers, at an etcd and at Berth (half an hour)
    Fleet,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match args.name {
        Soak::Long => test::run_vm_cases(&[(Kernel::V6_1, Cases::Long)]),
        Soak::Vm => {
            let kernels = [Kernel::V6_1, Kernel::V6_12];
            test::run_vm_cases(&kernels.map(test::every_case).concat())
        }
        Soak::Agent => test::run_long_e2e("agent_", &args.kubernetes),
        Soak::Kube => test::run_e2e_rounds(args.rounds, &args.kubernetes),
        Soak::Metastore => metastore(args),
        Soak::Fleet => bench::run_fleet().map(|()| ExitCode::SUCCESS),
        Soak::Fuzz => fuzz::run(Duration::from_secs(args.seconds), args.target.as_deref()),
    }
}

fn metastore(args: &Args) -> anyhow::Result<ExitCode> {
    let long = LongMetastore {
        n_crashes: args.crashes,
        n_sequences: 3 * args.crashes,
        n_operations: 20 * args.crashes,
    };
    let crashed = test::run_long_metastore(long)?;
    let cluster = test::run_long_e2e("metastore_", &args.kubernetes)?;
    // All run, also when one before has failed.
    let suite = storage_suite::run_on_berth()?;
    let failed = [crashed, cluster, suite].into_iter().find(|code| *code != ExitCode::SUCCESS);
    Ok(failed.unwrap_or(ExitCode::SUCCESS))
}
