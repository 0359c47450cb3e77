//! A simulated node under the real `advisor::turn`: scripts drive a virtual clock, Steps change
//! simulated cgroup files with the kernel's quirks, Samples are made from them. Pure: a scenario
//! is a function from text to text.

mod node;
mod script;

pub use script::{ScriptError, run};
