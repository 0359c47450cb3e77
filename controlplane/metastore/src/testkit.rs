//! What tests hold a store against, here and in the crate of the program: what was written, whether answers fit one order, and what a
//! stream of watches may look like. Owns no store and starts none.

pub mod chronicle;
pub mod linear;
pub mod watch_rules;
