//! Who lives on the node and what was promised to them. The only memory of admission: pools are a
//! function of it, so what is not here cannot be lost in a restart.

use std::collections::BTreeMap;

use crate::cpuset::CpuSet;
use crate::numa::NumaSet;
use crate::pod::Ask;
use crate::qos::PodUid;
use crate::units::{NumaNodeId, Timestamp};

/// All pods that were admitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    pub pods: BTreeMap<PodUid, Resident>,
    /// NUMA nodes of exclusive pods that left, by who is expected to come back.
    pub remembered: BTreeMap<String, Remembered>,
    /// Pods of `pods` whose containers were made with what was promised but that nobody has seen yet,
    /// and until when that is kept for them.
    pub reserved: BTreeMap<PodUid, Timestamp>,
}

/// One pod that was admitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Resident {
    pub ask: Ask,
    pub place: Place,
    /// A new pod is not measured yet before this time.
    pub ramp_until: Option<Timestamp>,
}

/// What was promised. CPUs of pools are not here: they follow from all promises together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// CPUs of its own; `nodes` is empty without NUMA binding.
    Own { cpus: CpuSet, nodes: NumaSet },
    /// In the part of its pool on one node.
    Node(NumaNodeId),
    /// In its pool.
    Pool,
    /// Admitted without an allocation.
    Anywhere,
}

/// Nodes that are kept in mind for a pod's successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub nodes: NumaSet,
    pub until: Timestamp,
}

impl Resident {
    /// Whether it is too new to be confined to its pool.
    pub fn is_ramping(&self, now: Timestamp) -> bool {
        self.ramp_until.is_some_and(|until| now < until)
    }

    /// Who counts as its successor: a pod of the same owner, else one of the same name.
    pub fn lineage(ask: &Ask) -> String {
        match &ask.owner {
            Some(owner) => format!("owner {owner}"),
            None => format!("pod {}", ask.name),
        }
    }
}
