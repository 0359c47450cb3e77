//! `cargo xtask soak NAME`: the long forms of tests, too long for every change. One row per soak.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::test::{self, Cases};
use crate::vm::Kernel;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    name: Soak,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Soak {
    /// All VM cases on every kernel, where `test` runs all on one and the smoke set on the other
    Vm,
    /// VM cases too long for every change: those whose name contains `soak_`
    Long,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match args.name {
        Soak::Long => test::run_vm_cases(&[(Kernel::V6_1, Cases::Long)]),
        Soak::Vm => test::run_vm_cases(&[
            (Kernel::V6_1, Cases::All),
            (Kernel::V6_1, Cases::without_psi()),
            (Kernel::V6_12, Cases::All),
            (Kernel::V6_12, Cases::without_psi()),
        ]),
    }
}
