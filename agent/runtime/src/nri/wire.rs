//! The conversation with one runtime as a state machine: bytes of the socket go in, calls and answers come out; answers and requests go
//! in, bytes come out. Owns both logical connections of the socket, streams and statuses. Does no I/O, so every failure can be written
//! down as bytes.
//!
//! The socket carries two ttrpc connections, each chunk of them behind a header `u32 connection | u32 length`: on the first the runtime
//! calls the plugin, on the second the plugin calls the runtime.

use std::collections::BTreeMap;

use prost::{DecodeError, Message};
use proto::nri::{
    ContainerUpdate, RegisterPluginRequest, UpdateContainersRequest, UpdateContainersResponse,
};
use proto::ttrpc::{Request, Response, Status};
use thiserror::Error;

use super::call::{Answer, Call, CallError, PLUGIN};
use crate::ttrpc::{
    Frame, FrameError, HEADER_BYTES, Kind, MAX_DATA_BYTES, Reassembly, bounded, number,
};

/// The runtime calls us.
const CALLS: u32 = 1;
/// We call the runtime.
const REQUESTS: u32 = 2;
const RUNTIME: &str = "nri.pkg.api.v1alpha1.Runtime";
const MAX_CHUNK_BYTES: usize = HEADER_BYTES + MAX_DATA_BYTES;

/// gRPC's codes.
const UNKNOWN: i32 = 2;
const INVALID_ARGUMENT: i32 = 3;
const UNIMPLEMENTED: i32 = 12;

/// Why a conversation is over.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum WireError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the runtime {what} on connection {connection}")]
    WrongWay { what: &'static str, connection: u32 },
    #[error("the runtime's {what} cannot be read: {source}")]
    Malformed { what: &'static str, source: DecodeError },
}

/// What has come from the runtime.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Received {
    /// To be answered under its stream.
    Call { stream: u32, call: Box<Call> },
    /// We are registered, or not and why.
    Registered(Result<(), Refusal>),
    /// What became of an update: the containers that it failed for.
    Updated { stream: u32, failed: Result<Vec<ContainerUpdate>, Refusal> },
}

/// The runtime's own words for what it does not do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} (code {code})")]
pub struct Refusal {
    pub code: i32,
    pub message: String,
}

#[derive(Debug, Default)]
pub(super) struct Wire {
    socket: Vec<u8>,
    calls: Reassembly,
    requests: Reassembly,
    /// The last stream that we began.
    last_stream: Option<u32>,
    waiting: BTreeMap<u32, Asked>,
    /// What is to be written next, before any answer.
    pub(super) outgoing: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Register,
    Update,
}

impl Wire {
    /// Takes what was read from the socket. Calls that cannot be read are answered here, in `outgoing`.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Received>, WireError> {
        self.socket.extend(bytes);
        let mut received = Vec::new();
        while let Some((connection, chunk)) = self.chunk()? {
            match connection {
                CALLS => self.calls.push(&chunk),
                REQUESTS => self.requests.push(&chunk),
                // Reserved: what a later version sends there is not for us.
                _ => {}
            }
            while let Some(frame) = self.calls.next()? {
                received.extend(self.called(frame)?);
            }
            while let Some(frame) = self.requests.next()? {
                received.extend(self.answered(frame)?);
            }
        }
        Ok(received)
    }

    fn chunk(&mut self) -> Result<Option<(u32, Vec<u8>)>, WireError> {
        let Some((connection, rest)) = number(&self.socket) else { return Ok(None) };
        let Some((length, rest)) = number(rest) else { return Ok(None) };
        let length = length as usize;
        bounded(length, MAX_CHUNK_BYTES)?;
        let Some(chunk) = rest.get(..length) else { return Ok(None) };
        let chunk = chunk.to_vec();
        self.socket.drain(..8 + length);
        Ok(Some((connection, chunk)))
    }

    fn called(&mut self, frame: Frame) -> Result<Option<Received>, WireError> {
        if frame.kind != Kind::Request {
            return Err(WireError::WrongWay { what: "answered", connection: CALLS });
        }
        let stream = frame.stream;
        let request = Request::decode(&*frame.data)
            .map_err(|source| WireError::Malformed { what: "request", source })?;
        let method = format!("{}/{}", request.service, request.method);
        let call = match request.service.as_str() {
            PLUGIN => Call::decode(&request.method, &request.payload),
            _ => Err(CallError::UnknownMethod),
        };
        let (code, message) = match call {
            Ok(call) => return Ok(Some(Received::Call { stream, call: Box::new(call) })),
            Err(CallError::UnknownMethod) => (UNIMPLEMENTED, format!("no method {method}")),
            Err(CallError::Malformed(error)) => (INVALID_ARGUMENT, format!("{method}: {error}")),
        };
        let refusal = respond(stream, Err(Status { code, message }))?;
        self.outgoing.extend(refusal);
        Ok(None)
    }

    /// A stream that nobody waits for is one whose deadline is over.
    fn answered(&mut self, frame: Frame) -> Result<Option<Received>, WireError> {
        if frame.kind != Kind::Response {
            return Err(WireError::WrongWay { what: "called", connection: REQUESTS });
        }
        let stream = frame.stream;
        let Some(asked) = self.waiting.remove(&stream) else { return Ok(None) };
        let malformed = |source| WireError::Malformed { what: "answer", source };
        let response = Response::decode(&*frame.data).map_err(malformed)?;
        let payload = match response.status.filter(|status| status.code != 0) {
            Some(status) => Err(Refusal { code: status.code, message: status.message }),
            None => Ok(response.payload),
        };
        Ok(Some(match asked {
            Asked::Register => Received::Registered(payload.map(drop)),
            Asked::Update => {
                let failed = match payload {
                    Ok(bytes) => {
                        Ok(UpdateContainersResponse::decode(&*bytes).map_err(malformed)?.failed)
                    }
                    Err(refusal) => Err(refusal),
                };
                Received::Updated { stream, failed }
            }
        }))
    }

    /// The first thing that a runtime wants to hear.
    pub(super) fn register(&mut self, name: &str, index: u8) -> Result<Vec<u8>, FrameError> {
        let message = RegisterPluginRequest {
            plugin_name: name.to_owned(),
            plugin_idx: format!("{index:02}"),
            nri_version: String::new(),
        };
        let (_, bytes) =
            self.request("RegisterPlugin", message.encode_to_vec(), Asked::Register)?;
        Ok(bytes)
    }

    /// Other resources for containers that exist. The stream is that of the answer.
    pub(super) fn update(
        &mut self,
        update: Vec<ContainerUpdate>,
    ) -> Result<(u32, Vec<u8>), FrameError> {
        let payload = UpdateContainersRequest { update }.encode_to_vec();
        self.request("UpdateContainers", payload, Asked::Update)
    }

    fn request(
        &mut self,
        method: &str,
        payload: Vec<u8>,
        asked: Asked,
    ) -> Result<(u32, Vec<u8>), FrameError> {
        // Odd ones are the caller's; after 2^31 requests they begin again, long after the first was answered.
        let stream = self.last_stream.map_or(1, |last| last.wrapping_add(2));
        let (service, method) = (RUNTIME.to_owned(), method.to_owned());
        let request = Request { service, method, payload, timeout_nano: 0 };
        let frame = Frame { stream, kind: Kind::Request, data: request.encode_to_vec() };
        let bytes = chunked(REQUESTS, &frame.encode()?)?;
        self.last_stream = Some(stream);
        self.waiting.insert(stream, asked);
        Ok((stream, bytes))
    }

    /// Nobody waits for the answer to it any more.
    pub(super) fn forget(&mut self, stream: u32) {
        self.waiting.remove(&stream);
    }
}

/// The bytes that answer a call. An answer longer than a frame becomes a refusal.
pub(super) fn answer(stream: u32, call: &Call, answer: Answer) -> Result<Vec<u8>, FrameError> {
    let refused = |message: String| Err(Status { code: UNKNOWN, message });
    match call.encode(answer) {
        Ok(payload) => respond(stream, Ok(payload))
            .or_else(|error| respond(stream, refused(error.to_string()))),
        Err(message) => respond(stream, refused(message)),
    }
}

fn respond(stream: u32, result: Result<Vec<u8>, Status>) -> Result<Vec<u8>, FrameError> {
    let response = match result {
        Ok(payload) => Response { status: None, payload },
        Err(status) => Response { status: Some(status), payload: Vec::new() },
    };
    let frame = Frame { stream, kind: Kind::Response, data: response.encode_to_vec() };
    chunked(CALLS, &frame.encode()?)
}

fn chunked(connection: u32, bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
    let length = bounded(bytes.len(), MAX_CHUNK_BYTES)?;
    let mut chunk = Vec::with_capacity(8 + bytes.len());
    chunk.extend(connection.to_be_bytes());
    chunk.extend(length.to_be_bytes());
    chunk.extend(bytes);
    Ok(chunk)
}

#[cfg(test)]
mod tests;
