//! Events of pods (events.k8s.io/v1). Owns their form; one that is not taken is let go, since nobody waits for it.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{self, EventType, Recorder, Reporter};
use tokio::time::timeout;

use crate::watching;
use crate::write::LIMIT;

/// The API's bound on a note, in bytes.
const LONGEST_NOTE: usize = 1024;

/// What a person reads at the end of `kubectl describe pod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub is_warning: bool,
    /// One word in `PascalCase`.
    pub reason: &'static str,
    pub note: String,
}

/// A pod, as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// The agent of one node as a source of events.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a recorder has nothing to print")]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    pub fn new(client: Client, node: &str) -> Events {
        let reporter =
            Reporter { controller: "berth.dev/agent".to_owned(), instance: Some(node.to_owned()) };
        Events { recorder: Recorder::new(client, reporter) }
    }

    /// # Errors
    /// One sentence, where the apiserver does not take it.
    pub async fn tell(&self, pod: &PodRef, event: &Event) -> Result<(), String> {
        let type_ = if event.is_warning { EventType::Warning } else { EventType::Normal };
        let told = events::Event {
            type_,
            reason: event.reason.to_owned(),
            note: Some(bounded(&event.note)),
            action: "Place".to_owned(),
            secondary: None,
        };
        let of = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.clone()),
            ..ObjectReference::default()
        };
        let failed = |why: String| format!("tell of {}/{}: {why}", pod.namespace, pod.name);
        match timeout(LIMIT, self.recorder.publish(&told, &of)).await {
            Ok(taken) => taken.map_err(|error| failed(watching::fault(&error))),
            Err(_elapsed) => Err(failed(format!("no answer within {} s", LIMIT.as_secs()))),
        }
    }
}

fn bounded(note: &str) -> String {
    let end = note.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = end.take_while(|end| *end <= LONGEST_NOTE).last().unwrap_or(0);
    note.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_fits_and_stays_text() {
        assert_eq!(bounded("short"), "short");
        assert_eq!(bounded(&"a".repeat(2000)).len(), 1024);
        assert_eq!(bounded(&"é".repeat(2000)).len(), 1024);
        assert_eq!(bounded(&"€".repeat(2000)).len(), 1023);
        assert_eq!(bounded(""), "");
    }
}
