//! What goes into `advisor::turn` and which decisions came out of it, as values: a recording is a
//! list of them. Owns no form (`wire::recording`) and no file; replaying is `sim`'s.

use std::sync::Arc;

use crate::decision::Decision;
use crate::plan::{Generation, Outcome, Overlay, Plan};
use crate::policy::Policy;
use crate::qos::WorkloadName;
use crate::sample::{Burst, Sample, WorkloadSpec};
use crate::snapshot::Snapshot;
use crate::units::{MilliCpu, Timestamp};

/// All of the turn's state that decisions depend on, between two ticks. What is believed of files is
/// not here: it leads to Steps and findings, never to a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub policy: Policy,
    /// The last one; rates are formed against it.
    pub sample: Option<Arc<Sample>>,
    pub snapshot: Option<Arc<Snapshot>>,
    pub plan: Option<Arc<Plan>>,
    pub overlay: Option<Overlay>,
    /// When the last overlay ended.
    pub overlay_ended_at: Option<Timestamp>,
    /// How often in a row an overlay had to begin again right after its end.
    pub n_repeats: u8,
    /// The victim's usage before the overlay began.
    pub calm_usage: Option<MilliCpu>,
    pub generation: Generation,
}

impl Standing {
    /// Of an agent that starts, perhaps with the Plan of the one before it.
    pub fn start(policy: Policy, plan: Option<Plan>) -> Standing {
        Standing {
            policy,
            sample: None,
            snapshot: None,
            generation: plan.as_ref().map_or(Generation(0), |plan| plan.generation),
            plan: plan.map(Arc::new),
            overlay: None,
            overlay_ended_at: None,
            n_repeats: 0,
            calm_usage: None,
        }
    }
}

/// One entry into the turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Begin here: nothing before it is needed.
    Standing(Box<Standing>),
    /// A tick begins ...
    Begin {
        now: Timestamp,
    },
    /// ... and its Plan is there.
    Finish {
        now: Timestamp,
        sample: Arc<Sample>,
    },
    Burst {
        now: Timestamp,
        burst: Burst,
    },
    /// A deadline came.
    Expire {
        now: Timestamp,
    },
    /// A pod was promised its place before it started.
    Reserve {
        now: Timestamp,
        name: WorkloadName,
        spec: Box<WorkloadSpec>,
    },
    Outcome(Box<Outcome>),
    Policy(Box<Policy>),
}

/// An entry with what was decided at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub entry: Entry,
    pub decisions: Vec<Decision>,
}
