//! A simulated node under the real `advisor::turn`: scripts drive a virtual clock, Steps change
//! simulated cgroup files with the kernel's quirks, Samples are made from them. Pure: a scenario
//! is a function from text to text. `simulate` answers admission and hints without a clock; `replay`
//! runs what a real node recorded, `plan_from` makes one Plan of a document.

mod node;
mod plan_from;
pub mod replay;
mod script;
mod simulate;

pub use plan_from::{PlanFromError, plan_from};
pub use script::{Recording, ScriptError, record, run};
pub use simulate::{ReadTree, Transcript, simulate};
