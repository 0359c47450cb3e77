//! What tests need inside the guest: a cgroup that goes away with the test, load in it, and a refusal to
//! run anywhere else. Holds no test; those are in `tests/it`. `cargo xtask test --tier vm` runs them.
//!
//! Every test starts with [`guest()`] (or with something that calls it, as [`TestCgroup::new`] does), so that on a
//! developer's own machine it fails before it touches anything.

mod cgroup;
mod guest;
mod load;
pub mod process;
mod tracepoints;
mod wait;

pub use cgroup::{ROOT, TestCgroup};
pub use guest::{GuestFacts, guest, skip};
pub use load::Load;
pub use wait::{wait_for, wait_until};
