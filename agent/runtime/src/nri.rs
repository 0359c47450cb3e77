//! The Node Resource Interface: how a plugin hears of every pod and container before it starts, and says what it should be given. Owns
//! the protocol as a state machine of bytes (`wire`), its calls and answers as values (`call`), and a connection that lasts (`session`).
//!
//! A runtime drops a plugin that needs longer than its request timeout (2 s unless configured), and pods start without it: every answer
//! comes from memory. Sources: api.proto and pkg/net/multiplex of containerd/nri.

mod call;
mod foreign;
mod keep;
mod session;
mod wire;

pub use call::{Answer, Call, can_validate, mask};
pub use foreign::{CpusetField, ForeignCpuset, foreign_cpusets};
pub use keep::keep;
pub use session::{Ended, Identity, Pushes, Runtime, UpdateError, runtime, serve};
pub use wire::{Refusal, WireError};
