//! What tests hold a store against, here and in the crate of the program: what was written, whether answers fit one order, what a stream
//! of watches may look like, and clients that ask and watch. Owns no store and starts none.

pub mod chronicle;
pub mod crowd;
pub mod linear;
pub mod watch_rules;
pub mod watcher;
