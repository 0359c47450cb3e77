//! Carries out Steps: one Step = one write, read back. Two lanes, one thread each, because some
//! files block in the kernel (`model::knob::Lane`). Decides nothing: order, values and phases come
//! from `advisor::steps`.

pub mod exec;
#[cfg(test)]
mod fake;
pub mod files;
pub mod host_files;
pub mod lane;
pub mod restore;
mod tidying;

pub use exec::{Batch, carry_out};
pub use files::KnobFiles;
pub use host_files::HostFiles;
pub use lane::{LaneHandle, Order, spawn};
pub use restore::{Restored, restore};
