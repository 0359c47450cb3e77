//! A range as a stream of parts: each has some keys, the last one has header, count and whether there is more. The state that it is read
//! from is held until the end, so that no compaction can break it.

use std::sync::Arc;

use proto::etcd::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader};
use tonic::Status;

use super::super::unreadable;
use crate::range::{Selection, Values as _};
use crate::store::Committed;
use crate::txn::key_value;

/// About so much in one part; the first one is smaller, so that it comes at once.
const CHUNK_BYTES: usize = 512 << 10;
const FIRST_BYTES: usize = 32 << 10;

/// What is left to be sent.
pub(super) struct Chunks {
    committed: Arc<Committed>,
    selected: Selection,
    next: usize,
    keys_only: bool,
    header: Option<ResponseHeader>,
}

impl Chunks {
    pub(super) fn new(
        committed: Arc<Committed>,
        request: &RangeRequest,
        selected: Selection,
        header: ResponseHeader,
    ) -> Chunks {
        let keys_only = request.keys_only;
        Chunks { committed, selected, next: 0, keys_only, header: Some(header) }
    }

    fn part(&mut self) -> Result<RangeResponse, Status> {
        let most = if self.next == 0 { FIRST_BYTES } else { CHUNK_BYTES };
        let (mut kvs, mut bytes) = (Vec::new(), 0);
        while let Some((key, version)) = self.selected.keys.get(self.next)
            && bytes < most
        {
            let value = match self.keys_only {
                true => bytes::Bytes::new(),
                false => self.committed.value(key, version).map_err(|error| unreadable(&error))?,
            };
            bytes += key.len() + value.len();
            kvs.push(key_value(key, version, value));
            self.next += 1;
        }
        let mut part = RangeResponse { kvs, ..RangeResponse::default() };
        if self.next == self.selected.keys.len() {
            part.header = self.header.take();
            (part.more, part.count) = (self.selected.more, self.selected.count);
        }
        Ok(part)
    }
}

impl Iterator for Chunks {
    type Item = Result<RangeStreamResponse, Status>;

    fn next(&mut self) -> Option<Result<RangeStreamResponse, Status>> {
        self.header.as_ref()?;
        let part = self.part();
        if part.is_err() {
            self.header = None;
        }
        Some(part.map(|part| RangeStreamResponse { range_response: Some(part) }))
    }
}
