//! What a runtime calls and what it may be answered, as values. Owns the names of the methods and which message belongs to which; knows no
//! frame and no connection.

use prost::{DecodeError, Message};
use proto::nri::{
    ConfigureRequest, ConfigureResponse, Container, ContainerAdjustment, ContainerRequest,
    ContainerUpdate, CreateContainerResponse, Empty, Event, PodSandbox, PodSandboxRequest,
    StateChangeEvent, StopContainerResponse, SynchronizeRequest, SynchronizeResponse,
    UpdateContainerRequest, UpdateContainerResponse, UpdatePodSandboxRequest,
    ValidateContainerAdjustmentRequest, ValidateContainerAdjustmentResponse,
};

/// The service that a plugin offers.
pub(super) const PLUGIN: &str = "nri.pkg.api.v1alpha1.Plugin";

/// One call of the runtime.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Call {
    /// Who the runtime is and how long it waits. Answered with `Configured`.
    Configure(ConfigureRequest),
    /// All that is here, in several calls where it is much. Answered with `Synchronized`.
    Synchronize(SynchronizeRequest),
    /// The runtime needs this plugin no more.
    Shutdown,
    /// A pod is resized.
    UpdatePodSandbox(UpdatePodSandboxRequest),
    /// The container does not exist yet. Answered with `Created`.
    CreateContainer(ContainerRequest),
    /// What all plugins together want of a container that is about to be made. Answered with `Validated`.
    Validate(ValidateContainerAdjustmentRequest),
    /// The kubelet wants other resources for a container. Answered with `Updated`.
    UpdateContainer(UpdateContainerRequest),
    /// Answered with `Stopped`.
    StopContainer(ContainerRequest),
    /// Everything else that happens to a pod or a container. `container` is empty where it is the pod.
    Told { event: Event, pod: PodSandbox, container: Option<Container> },
}

/// What a plugin may say. The wrong one for a call is sent as a refusal of that call, never as bytes of another message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    Configured {
        events: i32,
    },
    Synchronized {
        update: Vec<ContainerUpdate>,
    },
    Created {
        adjust: Option<ContainerAdjustment>,
        update: Vec<ContainerUpdate>,
    },
    Updated {
        update: Vec<ContainerUpdate>,
    },
    Stopped {
        update: Vec<ContainerUpdate>,
    },
    /// With a reason the container is not made.
    Validated {
        refused: Option<String>,
    },
    Done,
    /// The runtime fails what it was about to do; the kubelet tries it again, for ever.
    Refused {
        reason: String,
    },
}

/// The events that a plugin asks for, as `Configured` carries them.
pub fn mask(events: &[Event]) -> i32 {
    events
        .iter()
        .filter(|event| **event != Event::Unknown)
        .fold(0, |mask, event| mask | 1 << (*event as i32 - 1))
}

/// Whether a runtime knows the event [`Event::ValidateContainerAdjustment`]; one that does not refuses a plugin that names it. By the
/// version of the interface that it has in its library, which came into `Configure` after the event (0.10) did: a runtime that tells none
/// is not asked.
pub fn can_validate(nri_version: &str) -> bool {
    let numbers = nri_version.trim_start_matches('v').split('.').take(2).map(str::parse::<u32>);
    matches!(numbers.collect::<Result<Vec<_>, _>>().as_deref(), Ok([major, minor]) if (*major, *minor) >= (0, 10))
}

/// Why a call has no value.
#[derive(Debug)]
pub(super) enum CallError {
    UnknownMethod,
    Malformed(DecodeError),
}

impl From<DecodeError> for CallError {
    fn from(error: DecodeError) -> CallError {
        CallError::Malformed(error)
    }
}

impl Call {
    pub(super) fn decode(method: &str, payload: &[u8]) -> Result<Call, CallError> {
        Ok(match method {
            "Configure" => Call::Configure(Message::decode(payload)?),
            "Synchronize" => Call::Synchronize(Message::decode(payload)?),
            "Shutdown" => Call::Shutdown,
            "UpdatePodSandbox" => Call::UpdatePodSandbox(Message::decode(payload)?),
            "CreateContainer" => Call::CreateContainer(Message::decode(payload)?),
            "ValidateContainerAdjustment" => Call::Validate(Message::decode(payload)?),
            "UpdateContainer" => Call::UpdateContainer(Message::decode(payload)?),
            "StopContainer" => Call::StopContainer(Message::decode(payload)?),
            "StateChange" => state_change(StateChangeEvent::decode(payload)?),
            "RunPodSandbox" => of_pod(Event::RunPodSandbox, payload)?,
            "PostUpdatePodSandbox" => of_pod(Event::PostUpdatePodSandbox, payload)?,
            "StopPodSandbox" => of_pod(Event::StopPodSandbox, payload)?,
            "RemovePodSandbox" => of_pod(Event::RemovePodSandbox, payload)?,
            "PostCreateContainer" => of_container(Event::PostCreateContainer, payload)?,
            "StartContainer" => of_container(Event::StartContainer, payload)?,
            "PostStartContainer" => of_container(Event::PostStartContainer, payload)?,
            "PostUpdateContainer" => of_container(Event::PostUpdateContainer, payload)?,
            "RemoveContainer" => of_container(Event::RemoveContainer, payload)?,
            _ => return Err(CallError::UnknownMethod),
        })
    }

    /// The message that answers this call; `Err` is what the runtime is told instead.
    pub(super) fn encode(&self, answer: Answer) -> Result<Vec<u8>, String> {
        Ok(match (self, answer) {
            (_, Answer::Refused { reason }) => return Err(reason),
            (Call::Configure(_), Answer::Configured { events }) => {
                ConfigureResponse { events }.encode_to_vec()
            }
            (Call::Synchronize(request), Answer::Synchronized { update }) => {
                SynchronizeResponse { update, more: request.more }.encode_to_vec()
            }
            (Call::CreateContainer(_), Answer::Created { adjust, update }) => {
                CreateContainerResponse { adjust, update }.encode_to_vec()
            }
            (Call::UpdateContainer(_), Answer::Updated { update }) => {
                UpdateContainerResponse { update }.encode_to_vec()
            }
            (Call::StopContainer(_), Answer::Stopped { update }) => {
                StopContainerResponse { update }.encode_to_vec()
            }
            (Call::Validate(_), Answer::Validated { refused }) => {
                let (reject, reason) = (refused.is_some(), refused.unwrap_or_default());
                ValidateContainerAdjustmentResponse { reject, reason }.encode_to_vec()
            }
            (_, Answer::Done) => Empty {}.encode_to_vec(),
            (call, answer) => return Err(format!("{} was answered with {answer:?}", call.name())),
        })
    }

    /// The method's name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Call::Configure(_) => "Configure",
            Call::Synchronize(_) => "Synchronize",
            Call::Shutdown => "Shutdown",
            Call::UpdatePodSandbox(_) => "UpdatePodSandbox",
            Call::CreateContainer(_) => "CreateContainer",
            Call::Validate(_) => "ValidateContainerAdjustment",
            Call::UpdateContainer(_) => "UpdateContainer",
            Call::StopContainer(_) => "StopContainer",
            Call::Told { event, .. } => event.as_str_name(),
        }
    }
}

fn of_pod(event: Event, payload: &[u8]) -> Result<Call, CallError> {
    let pod = PodSandboxRequest::decode(payload)?.pod.unwrap_or_default();
    Ok(Call::Told { event, pod, container: None })
}

fn of_container(event: Event, payload: &[u8]) -> Result<Call, CallError> {
    let request = ContainerRequest::decode(payload)?;
    Ok(Call::Told { event, pod: request.pod.unwrap_or_default(), container: request.container })
}

/// An event that this version does not know is told as `Unknown`.
fn state_change(request: StateChangeEvent) -> Call {
    let event = request.event();
    Call::Told { event, pod: request.pod.unwrap_or_default(), container: request.container }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use proto::nri::{Event, PodSandbox, PodSandboxRequest, StateChangeEvent, SynchronizeRequest};

    use super::{Answer, Call, CallError, can_validate, mask};

    #[test]
    fn events_are_bits_from_the_first_on() {
        assert_eq!(mask(&[]), 0);
        assert_eq!(mask(&[Event::RunPodSandbox, Event::CreateContainer]), 0b1001);
        assert_eq!(mask(&[Event::ValidateContainerAdjustment, Event::Unknown]), 1 << 13);
    }

    #[test]
    fn a_runtime_is_asked_for_validation_when_it_says_that_it_knows_it() {
        for (version, can) in [
            ("0.10.0", true),
            ("v0.12.3", true),
            ("1.0", true),
            ("0.9.12", false),
            ("0.8", false),
            ("", false),
            ("0", false),
            ("devel", false),
            ("0.x.1", false),
            ("99999999999.0", false),
        ] {
            assert_eq!(can_validate(version), can, "{version:?}");
        }
    }

    #[test]
    fn a_refusal_of_what_others_want_is_an_answer_and_no_error() {
        let call = Call::decode("ValidateContainerAdjustment", &[]).unwrap();
        let said = |refused| call.encode(Answer::Validated { refused }).unwrap();
        assert!(said(None).is_empty());
        assert_eq!(said(Some("no".to_owned())), [0x08, 1, 0x12, 2, b'n', b'o']);
    }

    #[test]
    fn old_and_new_runtimes_tell_the_same() {
        let pod = PodSandbox { uid: "u".to_owned(), ..PodSandbox::default() };
        let new = PodSandboxRequest { pod: Some(pod.clone()) }.encode_to_vec();
        let new = Call::decode("RunPodSandbox", &new).unwrap();
        let old = StateChangeEvent {
            event: Event::RunPodSandbox.into(),
            pod: Some(pod),
            container: None,
        };
        assert_eq!(Call::decode("StateChange", &old.encode_to_vec()).unwrap(), new);
        assert_eq!(new.name(), "RUN_POD_SANDBOX");
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        let told = Call::decode("CreateContainer", &[0xff]);
        assert!(matches!(told, Err(CallError::Malformed(_))), "{told:?}");
        let told = Call::decode("PaintContainer", &[]);
        assert!(matches!(told, Err(CallError::UnknownMethod)), "{told:?}");
    }

    #[test]
    fn an_answer_of_another_call_is_a_refusal() {
        let call = Call::Synchronize(SynchronizeRequest { more: true, ..Default::default() });
        let told = call.encode(Answer::Stopped { update: Vec::new() }).unwrap_err();
        assert!(told.starts_with("Synchronize was answered with Stopped"), "{told}");
        let sent = call.encode(Answer::Synchronized { update: Vec::new() }).unwrap();
        assert_eq!(sent, [0x10, 1], "more comes back");
        assert!(Call::Shutdown.encode(Answer::Done).unwrap().is_empty());
        let refused = call.encode(Answer::Refused { reason: "no room".to_owned() });
        assert_eq!(refused.unwrap_err(), "no room");
    }
}
