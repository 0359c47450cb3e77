//! Wire form of what one Plan is made from: a Snapshot or a Sample, with the policy and the Plan before.

use serde::{Deserialize, Serialize};

use super::{Plan, Policy, Sample, Snapshot};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    #[serde(default)]
    pub policy: Option<Policy>,
    /// The Plan in force.
    #[serde(default)]
    pub plan: Option<Plan>,
    #[serde(default)]
    pub snapshot: Option<Snapshot>,
    #[serde(default)]
    pub sample: Option<Sample>,
}
