//! Conversations written down as bytes: cut anywhere, out of order, too long, of no known kind.

use proptest::prelude::*;
use prost::Message as _;
use proto::nri::{ContainerRequest, ContainerUpdate, UpdateContainersResponse};
use proto::ttrpc::{Request, Response, Status};

use super::super::call::{Answer, Call, PLUGIN};
use super::{CALLS, REQUESTS, Received, Refusal, Wire, WireError, answer, chunked};
use crate::ttrpc::{Frame, FrameError, Kind};

fn framed(connection: u32, kind: Kind, stream: u32, data: Vec<u8>) -> Vec<u8> {
    chunked(connection, &Frame { stream, kind, data }.encode().unwrap()).unwrap()
}

fn call(stream: u32, service: &str, method: &str, payload: Vec<u8>) -> Vec<u8> {
    let (service, method) = (service.to_owned(), method.to_owned());
    let request = Request { service, method, payload, timeout_nano: 0 };
    framed(CALLS, Kind::Request, stream, request.encode_to_vec())
}

fn response(stream: u32, status: Option<Status>, payload: Vec<u8>) -> Vec<u8> {
    framed(REQUESTS, Kind::Response, stream, Response { status, payload }.encode_to_vec())
}

fn update(id: &str) -> ContainerUpdate {
    ContainerUpdate { container_id: id.to_owned(), ..ContainerUpdate::default() }
}

/// What a plugin says, read as a runtime would: connection, stream, status and payload of a response.
fn read_response(bytes: &[u8]) -> (u32, u32, Option<Status>, Vec<u8>) {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(number(4) as usize, bytes.len() - 8);
    assert_eq!(number(8) as usize, bytes.len() - 18);
    let response = Response::decode(&bytes[18..]).unwrap();
    (number(0), number(12), response.status, response.payload)
}

#[test]
fn a_plugin_registers_under_two_digits_and_streams_are_odd() {
    let mut wire = Wire::default();
    let bytes = wire.register("berth", 7).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert_eq!(bytes[..4], REQUESTS.to_be_bytes());
    assert!(text.contains("RegisterPlugin") && text.contains("07"), "{text:?}");
    let (first, _) = wire.update(vec![update("a")]).unwrap();
    let (second, _) = wire.update(Vec::new()).unwrap();
    assert_eq!((first, second), (3, 5));
    let registered = wire.receive(&response(1, None, Vec::new())).unwrap();
    assert_eq!(registered, [Received::Registered(Ok(()))]);
}

#[test]
fn the_runtimes_answer_belongs_to_its_stream() {
    let mut wire = Wire::default();
    let (first, _) = wire.update(vec![update("a")]).unwrap();
    let (second, _) = wire.update(vec![update("b")]).unwrap();
    let failed = UpdateContainersResponse { failed: vec![update("b")] }.encode_to_vec();
    let no = Status { code: 5, message: "no such container".to_owned() };
    let mut bytes = response(second, None, failed);
    bytes.extend(response(first, Some(no), Vec::new()));
    bytes.extend(response(99, None, Vec::new()));
    let refusal = Refusal { code: 5, message: "no such container".to_owned() };
    let expected = [
        Received::Updated { stream: second, failed: Ok(vec![update("b")]) },
        Received::Updated { stream: first, failed: Err(refusal) },
    ];
    assert_eq!(wire.receive(&bytes).unwrap(), expected);
    wire.forget(first);
    assert_eq!(wire.receive(&response(first, None, Vec::new())).unwrap(), []);
}

#[test]
fn a_call_is_answered_on_its_stream() {
    let mut wire = Wire::default();
    let bytes = call(9, PLUGIN, "StopContainer", ContainerRequest::default().encode_to_vec());
    let received = wire.receive(&bytes).unwrap();
    let [Received::Call { stream, call }] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!(**call, Call::StopContainer(ContainerRequest::default()));
    let said = answer(*stream, call, Answer::Stopped { update: vec![update("x")] }).unwrap();
    let (connection, stream, status, payload) = read_response(&said);
    assert_eq!((connection, stream, status), (CALLS, 9, None));
    assert_eq!(payload, UpdateContainersResponse { failed: vec![update("x")] }.encode_to_vec());
}

/// What cannot be done is said, and the conversation goes on.
#[test]
fn a_call_that_cannot_be_read_is_refused_and_the_next_one_is_heard() {
    #[track_caller]
    fn check(bytes: &[u8], code: i32, words: &str) {
        let mut wire = Wire::default();
        assert_eq!(wire.receive(bytes).unwrap(), []);
        let (_, stream, status, _) = read_response(&wire.outgoing);
        let status = status.unwrap();
        assert_eq!((stream, status.code), (1, code));
        assert!(status.message.contains(words), "{status:?}");
        let next = wire.receive(&call(3, PLUGIN, "Shutdown", Vec::new())).unwrap();
        assert_eq!(next, [Received::Call { stream: 3, call: Box::new(Call::Shutdown) }]);
    }
    check(&call(1, PLUGIN, "PaintContainer", Vec::new()), 12, "Plugin/PaintContainer");
    check(&call(1, "grpc.health.v1.Health", "Check", Vec::new()), 12, "Health/Check");
    check(&call(1, PLUGIN, "CreateContainer", vec![0xff]), 3, "Plugin/CreateContainer: ");
}

#[test]
fn an_answer_that_is_too_long_is_a_refusal() {
    let call = Call::StopContainer(ContainerRequest::default());
    let said = answer(1, &call, Answer::Stopped { update: vec![update(&"x".repeat(5 << 20))] });
    let (_, _, status, _) = read_response(&said.unwrap());
    assert!(status.unwrap().message.contains("4194304 are allowed"));
}

#[test]
fn what_ends_a_conversation() {
    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let error = Wire::default().receive(bytes).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    check(&[0, 0, 0, 1, 0x7f, 0, 0, 0], "a frame of 2130706432 bytes; 4194314 are allowed");
    check(&chunked(CALLS, &[0xff; 12]).unwrap(), "4194304 are allowed");
    check(&framed(CALLS, Kind::Response, 1, Vec::new()), "answered on connection 1");
    check(&framed(REQUESTS, Kind::Request, 2, Vec::new()), "called on connection 2");
    check(&framed(CALLS, Kind::Request, 1, vec![0xff]), "request cannot be read");
    let mut wire = Wire::default();
    wire.register("berth", 0).unwrap();
    let told = wire.receive(&framed(REQUESTS, Kind::Response, 1, vec![0xff]));
    assert!(matches!(told, Err(WireError::Malformed { what: "answer", .. })), "{told:?}");
    let told = FrameError::UnknownKind { kind: 3 };
    let bytes = chunked(CALLS, &[0, 0, 0, 0, 0, 0, 0, 1, 3, 0]).unwrap();
    assert_eq!(Wire::default().receive(&bytes), Err(WireError::Frame(told)));
}

#[test]
fn other_connections_are_nobodys() {
    let mut wire = Wire::default();
    let mut bytes = chunked(7, b"something").unwrap();
    bytes.extend(call(1, PLUGIN, "Shutdown", Vec::new()));
    assert_eq!(wire.receive(&bytes).unwrap().len(), 1);
}

proptest! {
    #[test]
    fn calls_are_heard_however_their_bytes_are_cut(streams in prop::collection::vec(any::<u32>(), 1..6), cut in 1..40usize) {
        let bytes: Vec<u8> =
            streams.iter().flat_map(|stream| call(*stream, PLUGIN, "Shutdown", Vec::new())).collect();
        let (mut wire, mut heard) = (Wire::default(), Vec::new());
        for part in bytes.chunks(cut) {
            for received in wire.receive(part).unwrap() {
                let Received::Call { stream, .. } = received else { panic!("{received:?}") };
                heard.push(stream);
            }
        }
        prop_assert_eq!(heard, streams);
    }

    #[test]
    fn no_bytes_make_it_panic(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16)) {
        let mut wire = Wire::default();
        for part in parts {
            if wire.receive(&part).is_err() {
                break;
            }
        }
    }
}
