//! `berth`: what a person asks the agent on a node. Needs the agent's socket and nothing else.
//! Rendering is pure (`render`, `top::frame`); `client` speaks to the agent, `run` joins the two.

mod args;
mod client;
mod exit;
#[cfg(test)]
mod fixture;
mod nearest;
mod render;
mod run;
mod top;
mod units;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::exit::Exit;

/// Parses the command line, runs it, and turns the result into an exit code.
pub fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(run::run(cli)),
            Err(source) => Err(exit::Failure::Runtime { source }),
        },
        Err(error) => {
            // help and version go to stdout, mistakes to stderr; a closed pipe is nobody's fault
            let _ = error.print();
            return Exit::of_parse(&error).code();
        }
    };
    match exit {
        Ok(exit) => exit.code(),
        Err(failure) => {
            let _ = writeln!(std::io::stderr().lock(), "berth: {}", failure.explain());
            failure.exit().code()
        }
    }
}
