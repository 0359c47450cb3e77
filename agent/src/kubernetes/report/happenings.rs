//! Which decisions become events of pods. Pure: owns which are worth one, and how many at most.

use std::collections::BTreeMap;

use cluster::events::{Event, PodRef};
use model::pod::Declared;
use model::qos::{PodUid, WorkloadName};
use model::{Nanos, Timestamp};

use crate::node_state::{NodeState, Owner};

/// So many at once, and one more each ten seconds: a node whose pods all restart must not flood the apiserver.
const BURST: u32 = 20;
const ONE_MORE_EVERY: Nanos = Nanos::from_secs(10);

/// What was said of each pod already.
#[derive(Debug)]
pub(super) struct Happenings {
    said: BTreeMap<(PodUid, &'static str), String>,
    left: u32,
    refilled_at: Timestamp,
}

impl Default for Happenings {
    fn default() -> Happenings {
        Happenings { said: BTreeMap::new(), left: BURST, refilled_at: Timestamp(0) }
    }
}

impl Happenings {
    /// Events to send now. What was held back is said later, if it still holds then.
    pub(super) fn look(
        &mut self,
        now: Timestamp,
        state: &NodeState,
        declared: &Declared,
    ) -> Vec<(PodRef, Event)> {
        self.refill(now);
        self.said.retain(|(uid, _), _| declared.contains_key(uid));
        let of_pod: BTreeMap<&WorkloadName, &PodUid> =
            declared.iter().map(|(uid, one)| (&one.pod.name, uid)).collect();
        let mut events = Vec::new();
        for (name, event) in happening(state) {
            let Some((name, uid)) = of_pod.get_key_value(&name) else { continue };
            let key = ((*uid).clone(), event.reason);
            let is_new = self.said.get(&key) != Some(&event.note);
            if !is_new || self.left == 0 {
                continue;
            }
            self.left -= 1;
            self.said.insert(key, event.note.clone());
            events.extend(pod(name, uid).map(|pod| (pod, event)));
        }
        events
    }

    fn refill(&mut self, now: Timestamp) {
        let n = now.since(self.refilled_at).0 / ONE_MORE_EVERY.0;
        if n > 0 {
            self.left = BURST.min(self.left.saturating_add(u32::try_from(n).unwrap_or(BURST)));
            self.refilled_at = now;
        }
    }
}

/// Findings about workloads that a person can do something about, and CPUs that a pod got for itself.
fn happening(state: &NodeState) -> Vec<(WorkloadName, Event)> {
    let warnings = state.findings.iter().filter_map(|finding| {
        let reason = match finding.rule {
            "unplaceable" => "Unplaceable",
            "foreign-cpuset" => "ForeignCpuset",
            "pod-not-understood" => "AnnotationsNotUnderstood",
            _ => return None,
        };
        let event = Event { is_warning: true, reason, note: finding.message.clone() };
        Some((WorkloadName::new(finding.subject.as_str()), event))
    });
    let placed = Owner::all(&state.plan).into_iter().map(|Owner { pod, cpus, nodes }| {
        let memory = match nodes.is_empty() {
            true => String::new(),
            false => format!(", memory of NUMA nodes {nodes}"),
        };
        let note = format!("owns CPUs {cpus}{memory}");
        (pod, Event { is_warning: false, reason: "CpusOwned", note })
    });
    warnings.chain(placed).collect()
}

/// `namespace/name`; whatever is not named so is no pod.
fn pod(name: &WorkloadName, uid: &PodUid) -> Option<PodRef> {
    let (namespace, name) = name.as_str().split_once('/')?;
    Some(PodRef { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_string() })
}
