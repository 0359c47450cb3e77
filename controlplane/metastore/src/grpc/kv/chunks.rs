//! A range as a stream of parts: each has some keys, the last one has header, count and whether there is more. The state that it is read
//! from is held until the end, so that no compaction can break it.

use proto::etcd::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader};
use tonic::Status;

use super::super::unreadable;
use super::cursor::Cursor;
use crate::engine::ReadError;
use crate::txn::key_value;

/// About so much in one part; the first one is smaller, so that it comes at once.
const CHUNK_BYTES: usize = 256 << 10;
const FIRST_BYTES: usize = 32 << 10;

/// What is left to be sent.
pub(super) struct Chunks {
    cursor: Cursor,
    more: bool,
    most_bytes: usize,
    /// Until the last part is made.
    header: Option<ResponseHeader>,
}

impl Chunks {
    pub(super) fn new(cursor: Cursor, request: &RangeRequest, header: ResponseHeader) -> Chunks {
        let more = cursor.has_more(request);
        Chunks { cursor, more, most_bytes: FIRST_BYTES, header: Some(header) }
    }

    fn part(&mut self) -> Result<RangeResponse, ReadError> {
        let (mut kvs, mut bytes) = (Vec::new(), 0);
        let most_bytes = self.most_bytes;
        self.cursor.go_on(|key, version, value| {
            bytes += key.len() + value.len();
            kvs.push(key_value(key, version, value));
            bytes < most_bytes
        })?;
        self.most_bytes = CHUNK_BYTES;
        let mut part = RangeResponse { kvs, ..RangeResponse::default() };
        if self.cursor.n_left() == 0 {
            part.header = self.header.take();
            part.more = self.more;
            part.count = i64::try_from(self.cursor.count).unwrap_or(i64::MAX);
        }
        Ok(part)
    }
}

impl Iterator for Chunks {
    type Item = Result<RangeStreamResponse, Status>;

    fn next(&mut self) -> Option<Result<RangeStreamResponse, Status>> {
        self.header.as_ref()?;
        let part = self.part().map_err(|error| unreadable(&error));
        if part.is_err() {
            self.header = None;
        }
        Some(part.map(|part| RangeStreamResponse { range_response: Some(part) }))
    }
}
