//! The frames of ttrpc, containerd's RPC between processes of one machine: a header of ten bytes, then a message. Owns their bytes and
//! their bounds; knows no message. Source: PROTOCOL.md of containerd/ttrpc. The crate `ttrpc` brings a second protobuf library and sixty
//! crates for these ten bytes, and does its own I/O, so that a conversation could not be written down as a test.
//!
//! ```text
//! u32 length of data | u32 stream | u8 type | u8 flags | data      (big-endian)
//! ```

use thiserror::Error;

/// Longer messages are a protocol error. Ten bytes of each frame come on top.
pub(crate) const MAX_DATA_BYTES: usize = 4 << 20;
pub(crate) const HEADER_BYTES: usize = 10;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// Why a connection cannot go on: what follows in it has no known beginning any more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    #[error("a frame of {bytes} bytes; {max} are allowed")]
    TooLong { bytes: usize, max: usize },
    #[error("a frame of type {kind}; 1 (request) and 2 (response) are known")]
    UnknownKind { kind: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Odd for those that the caller began; an answer has its request's.
    pub(crate) stream: u32,
    pub(crate) kind: Kind,
    pub(crate) data: Vec<u8>,
}

impl Frame {
    /// Fails when the other side would refuse it.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let length = bounded(self.data.len(), MAX_DATA_BYTES)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.data.len());
        bytes.extend(length.to_be_bytes());
        bytes.extend(self.stream.to_be_bytes());
        bytes.push(if self.kind == Kind::Request { REQUEST } else { RESPONSE });
        // Flags: one request, one response.
        bytes.push(0);
        bytes.extend(&self.data);
        Ok(bytes)
    }
}

/// The bytes of one connection, cut into frames however they arrive.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    bytes: Vec<u8>,
}

impl Reassembly {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next whole frame; `None` until more bytes have come. A length out of bounds is refused before its bytes come.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((length, rest)) = number(&self.bytes) else { return Ok(None) };
        let length = length as usize;
        bounded(length, MAX_DATA_BYTES)?;
        let Some((stream, rest)) = number(rest) else { return Ok(None) };
        let kind = match rest.first() {
            None => return Ok(None),
            Some(&REQUEST) => Kind::Request,
            Some(&RESPONSE) => Kind::Response,
            Some(&kind) => return Err(FrameError::UnknownKind { kind }),
        };
        let end = HEADER_BYTES + length;
        let Some(data) = self.bytes.get(HEADER_BYTES..end) else { return Ok(None) };
        let frame = Frame { stream, kind, data: data.to_vec() };
        self.bytes.drain(..end);
        Ok(Some(frame))
    }
}

/// The first four bytes and what follows them.
pub(crate) fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*first), rest))
}

/// `bytes` as a length field.
pub(crate) fn bounded(bytes: usize, max: usize) -> Result<u32, FrameError> {
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= max);
    length.ok_or(FrameError::TooLong { bytes, max })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Frame, FrameError, Kind, MAX_DATA_BYTES, Reassembly};

    fn frame(stream: u32, data: &[u8]) -> Frame {
        Frame { stream, kind: Kind::Request, data: data.to_vec() }
    }

    /// The bytes are those of the specification.
    #[test]
    fn a_frame_has_the_bytes_of_the_specification() {
        let bytes = frame(3, b"ab").encode().unwrap();
        assert_eq!(bytes, [0, 0, 0, 2, 0, 0, 0, 3, 1, 0, b'a', b'b']);
        let answer = Frame { stream: 258, kind: Kind::Response, data: Vec::new() };
        assert_eq!(answer.encode().unwrap(), [0, 0, 0, 0, 0, 0, 1, 2, 2, 0]);
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<Option<Frame>, FrameError>) {
        let mut reassembly = Reassembly::default();
        reassembly.push(bytes);
        assert_eq!(reassembly.next(), expected);
    }

    #[test]
    fn what_is_no_frame_is_refused_as_soon_as_that_is_known() {
        let max = MAX_DATA_BYTES;
        check(&[], Ok(None));
        check(&[0, 0, 0], Ok(None));
        check(&[0, 0, 0, 0, 0, 0, 0, 1], Ok(None));
        check(&[0, 0, 0, 0, 0, 0, 0, 1, 1], Ok(None));
        check(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 0], Ok(Some(frame(1, b""))));
        check(&[0, 0x40, 0, 1], Err(FrameError::TooLong { bytes: max + 1, max }));
        check(&[0xff; 4], Err(FrameError::TooLong { bytes: u32::MAX as usize, max }));
        check(&[0, 0, 0, 0, 0, 0, 0, 1, 3], Err(FrameError::UnknownKind { kind: 3 }));
    }

    #[test]
    fn a_message_that_nobody_would_take_is_not_sent() {
        frame(1, &vec![0; MAX_DATA_BYTES]).encode().unwrap();
        let too_long = frame(1, &vec![0; MAX_DATA_BYTES + 1]).encode();
        assert_eq!(
            too_long.unwrap_err().to_string(),
            "a frame of 4194305 bytes; 4194304 are allowed"
        );
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            frames in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            cut in 1..20usize,
        ) {
            let sent: Vec<_> = frames.iter().map(|(stream, data)| frame(*stream, data)).collect();
            let bytes: Vec<u8> = sent.iter().flat_map(|frame| frame.encode().unwrap()).collect();
            let (mut reassembly, mut received) = (Reassembly::default(), Vec::new());
            for part in bytes.chunks(cut) {
                reassembly.push(part);
                while let Some(frame) = reassembly.next().unwrap() {
                    received.push(frame);
                }
            }
            prop_assert_eq!(received, sent);
        }

        #[test]
        fn no_bytes_make_it_panic_or_grow(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16)) {
            let mut reassembly = Reassembly::default();
            for part in parts {
                reassembly.push(&part);
                while let Ok(Some(_)) = reassembly.next() {}
            }
        }
    }
}
