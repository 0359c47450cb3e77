//! The `berth` binary against an agent played in this process, over a real Unix socket: output,
//! exit codes, and what it says when there is no agent.

mod commands;
mod fake;
#[path = "../../src/fixture.rs"]
mod fixture;
mod unreachable;
