//! Entry point of the CLI.

fn main() -> std::process::ExitCode {
    cli::main()
}
