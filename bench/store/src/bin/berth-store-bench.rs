//! `berth-store-bench`: the part of `cargo xtask bench metastore` that measures. The command line is in `store_bench::command`.

use std::process::ExitCode;

use clap::Parser as _;
use store_bench::command::{self, Command};

#[expect(clippy::print_stderr, reason = "a command line tool talks here")]
fn main() -> ExitCode {
    match command::run(&Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth-store-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
