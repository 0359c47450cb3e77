//! Reports as they leave the agent: the sender itself against servers that are good, dead, silent or lying.

mod cost;
mod endpoints;
mod identity;
mod object;
mod reporter;
