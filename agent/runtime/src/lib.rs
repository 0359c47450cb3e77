//! What the container runtime says of pods and containers, and what it is asked to do for them. Owns the conversation: frames, calls,
//! answers, reconnecting. Decides nothing: who gets which CPUs comes from the caller.

pub mod nri;
mod ttrpc;

pub use ttrpc::FrameError;
