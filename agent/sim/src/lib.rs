//! A simulated node under the real `advisor::turn`: scripts drive a virtual clock, Steps change
//! simulated cgroup files with the kernel's quirks, Samples are made from them. Pure: a scenario
//! is a function from text to text. `simulate` answers admission and hints without a clock.

mod node;
mod script;
mod simulate;

pub use script::{ScriptError, run};
pub use simulate::{ReadTree, Transcript, simulate};
