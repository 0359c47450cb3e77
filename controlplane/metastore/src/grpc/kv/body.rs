//! The answer to a range of any size as bytes, made while it is sent: lengths are known from the index, values are read when the connection
//! can take them. A list of a gigabyte costs what a list of a megabyte does. Owns the wire form of `RangeResponse`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};
use proto::etcd::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use tonic::Status;

use super::super::unreadable;
use super::cursor::Cursor;
use crate::engine::ReadError;
use crate::mvcc::Version;

/// So much is read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Before each message of gRPC: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// Field 2 of `RangeResponse`, a message.
const KVS_TAG: u8 = 2 << 3 | 2;
const KEY_TAG: u8 = 1 << 3 | 2;
const VALUE_TAG: u8 = 5 << 3 | 2;

/// What is left to be sent.
pub(super) struct RangeBody {
    /// What comes before the keys: prefix and header.
    head: Option<Bytes>,
    cursor: Cursor,
    /// What comes behind them.
    tail: Option<Bytes>,
    is_over: bool,
}

impl RangeBody {
    /// An error where the answer is longer than a message can be.
    pub(super) fn new(
        cursor: Cursor,
        request: &RangeRequest,
        header: ResponseHeader,
    ) -> Result<RangeBody, Status> {
        let keys_only = cursor.keys_only;
        let kvs = cursor.peek().map(|(key_bytes, version)| {
            let length = kv_length(key_bytes, version, keys_only);
            1 + encoded_len_varint(length as u64) + length
        });
        let kvs: usize = kvs.sum();
        let head = RangeResponse { header: Some(header), ..RangeResponse::default() };
        let tail = RangeResponse {
            more: cursor.has_more(request),
            count: i64::try_from(cursor.count).unwrap_or(i64::MAX),
            ..RangeResponse::default()
        };
        let length = head.encoded_len() + kvs + tail.encoded_len();
        let mut before = prefixed(length, head.encoded_len())?;
        before.put_slice(&head.encode_to_vec());
        Ok(RangeBody {
            head: Some(before.freeze()),
            cursor,
            tail: Some(tail.encode_to_vec().into()),
            is_over: false,
        })
    }

    fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let is_last = self.cursor.n_left() == 0;
        if is_last && self.tail.is_none() {
            return Ok(None);
        }
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES.min(self.least_bytes()));
        chunk.extend(self.head.take().unwrap_or_default());
        self.cursor.go_on(|key, version, value| {
            put_kv(&mut chunk, key, version, &value);
            chunk.len() < CHUNK_BYTES
        })?;
        if self.cursor.n_left() == 0 {
            chunk.extend(self.tail.take().unwrap_or_default());
        }
        Ok(Some(chunk.freeze()))
    }

    /// Most answers are one key.
    fn least_bytes(&self) -> usize {
        let first = self.cursor.peek().next();
        let one = first.map_or(0, |(key, version)| key + version.place.length as usize);
        128 + (one + 64).saturating_mul(self.cursor.n_left().min(64))
    }
}

impl Body for RangeBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match self.next() {
            Ok(Some(chunk)) => Ok(Frame::data(chunk)),
            Ok(None) => {
                self.is_over = true;
                Ok(Frame::trailers(ok()))
            }
            Err(error) => {
                self.is_over = true;
                Err(unreadable(&error))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Numbers of a `KeyValue` by field; those that are 0 are left out, as always in proto3.
fn numbers(version: &Version) -> [(u8, i64); 3] {
    [(2, version.create_revision), (3, version.mod_revision), (4, version.number)]
}

fn kv_length(key_bytes: usize, version: &Version, keys_only: bool) -> usize {
    let value_bytes = if keys_only { 0 } else { version.place.length as usize };
    let text = |bytes: usize| match bytes {
        0 => 0,
        bytes => 1 + encoded_len_varint(bytes as u64) + bytes,
    };
    let number = |number: i64| match number {
        0 => 0,
        number => 1 + encoded_len_varint(number.cast_unsigned()),
    };
    let numbers: usize = numbers(version).iter().map(|(_, value)| number(*value)).sum();
    text(key_bytes) + numbers + text(value_bytes) + number(version.lease)
}

fn put_kv(into: &mut BytesMut, key: &[u8], version: &Version, value: &[u8]) {
    into.put_u8(KVS_TAG);
    encode_varint(kv_length(key.len(), version, value.is_empty()) as u64, into);
    put_text(into, KEY_TAG, key);
    for (field, number) in numbers(version) {
        put_number(into, field, number);
    }
    put_text(into, VALUE_TAG, value);
    put_number(into, 6, version.lease);
}

fn put_text(into: &mut BytesMut, tag: u8, text: &[u8]) {
    if !text.is_empty() {
        into.put_u8(tag);
        encode_varint(text.len() as u64, into);
        into.put_slice(text);
    }
}

fn put_number(into: &mut BytesMut, field: u8, number: i64) {
    if number != 0 {
        into.put_u8(field << 3);
        encode_varint(number.cast_unsigned(), into);
    }
}

/// An answer that is there as a whole.
pub(super) fn whole<T: prost::Message>(
    response: &T,
) -> Result<impl Body<Data = Bytes, Error = Status> + Send + use<T>, Status> {
    let length = response.encoded_len();
    let mut bytes = prefixed(length, length)?;
    // The buffer grows where it is too short, so nothing can fail.
    response.encode_raw(&mut bytes);
    let body = Full::new(bytes.freeze()).map_err(|never| match never {});
    Ok(body.with_trailers(std::future::ready(Some(Ok(ok())))))
}

/// A buffer with the prefix of a message; `so_far` is how much of it comes into this buffer.
fn prefixed(length: usize, so_far: usize) -> Result<BytesMut, Status> {
    let length = u32::try_from(length).map_err(|_too_long| {
        Status::resource_exhausted(
            "etcdserver: the answer is longer than a message of gRPC; ask with a limit",
        )
    })?;
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + so_far);
    bytes.put_u8(0);
    bytes.put_u32(length);
    Ok(bytes)
}

fn ok() -> http::HeaderMap {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    trailers
}

/// The one message of a call, without its prefix.
pub(super) fn message<T: prost::Message + Default>(mut body: Bytes) -> Result<T, Status> {
    let broken =
        |what: &str| Status::internal(format!("a request that is no message of gRPC: {what}"));
    if body.len() < PREFIX_BYTES {
        return Err(broken("it is shorter than a prefix"));
    }
    let prefix = body.split_to(PREFIX_BYTES);
    match prefix.as_ref() {
        [0, length @ ..] => {
            let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            if length != body.len() {
                return Err(broken("its length is another"));
            }
        }
        _ => return Err(Status::unimplemented("compressed requests are not read")),
    }
    T::decode(body).map_err(|error| broken(&error.to_string()))
}

#[cfg(test)]
mod tests;
