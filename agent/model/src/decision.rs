//! `Decision`: a recorded choice with its inputs, so that it can be explained and replayed.

use crate::units::Timestamp;

/// One choice of an advisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub at: Timestamp,
    /// Stable kebab-case id of the rule.
    pub rule: &'static str,
    /// Workload or pool.
    pub subject: String,
    /// Name and value with unit, in the order the arithmetic uses them.
    pub inputs: Vec<(&'static str, String)>,
    /// What was chosen, as one sentence.
    pub result: String,
}
