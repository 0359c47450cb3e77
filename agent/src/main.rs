//! Entry point of the node agent; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::cli::main()
}
