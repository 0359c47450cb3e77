//! What every Berth process needs around its work: error chains for logs, tracing to stderr, the
//! signals that end it, the admin port; and for services the table of nodes (feature `nodes`). Knows no domain type of
//! any program.

pub mod admin;
mod error_chain;
mod logs;
#[cfg(feature = "nodes")]
pub mod nodes;
mod signals;

pub use error_chain::{Chain, chain};
pub use logs::{LogError, init_tracing};
pub use signals::{SignalError, shutdown_signal};
