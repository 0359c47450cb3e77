//! Deciding, and nothing else: every function here takes values and returns values. Reads no
//! clock, file, environment or randomness, logs nothing; explanations are `Decision`s and
//! `Finding`s. `turn` is the loop as a state machine, driven by the agent and by `sim` alike.

pub mod admit;
pub mod align;
pub mod burst;
pub mod effective;
pub mod headroom;
pub mod hint;
pub mod layout;
pub mod lint;
pub mod memory;
pub mod plan;
pub mod pool;
pub mod provision;
pub mod steps;
pub mod suppress;
pub mod take;
pub mod tally;
#[cfg(test)]
mod testkit;
pub mod turn;
pub mod why_slow;

pub use effective::effective;
pub use lint::lint;
pub use plan::{PlanInput, PlanReport, plan};
pub use steps::steps;
pub use suppress::{RenewInput, SuppressInput, renew, suppress};
pub use turn::{Effects, TurnState};
pub use why_slow::{Cause, CauseKind, NoAnswer, WhySlow, why_slow};
