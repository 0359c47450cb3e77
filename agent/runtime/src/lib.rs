//! What the container runtime says of pods and containers, and what it is asked to do for them. Owns the conversation: frames, calls,
//! answers, reconnecting (`pauses`, which others use too); and what was heard, as a table of pods. Decides nothing: who gets which CPUs comes from the caller.

pub mod cgroup;
pub mod nri;
pub mod pauses;
pub mod pods;
mod ttrpc;

pub use ttrpc::FrameError;
