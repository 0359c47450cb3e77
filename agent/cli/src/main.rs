//! Entry point of the CLI.

fn main() {}
