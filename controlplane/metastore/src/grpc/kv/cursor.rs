//! A walk over the keys of a range that can stop and go on: it holds the state of one moment, and nothing else however many keys there are.

use std::sync::Arc;

use bytes::Bytes;
use proto::etcd::etcdserverpb::RangeRequest;

use crate::engine::ReadError;
use crate::index::KeyRange;
use crate::mvcc::{Revision, Version};
use crate::range::{self, Values as _};
use crate::refusal::Refusal;
use crate::store::Committed;

#[derive(Debug)]
pub(super) struct Cursor {
    committed: Arc<Committed>,
    revision: Revision,
    /// What is still to come.
    rest: KeyRange,
    n_left: usize,
    /// All keys of the range.
    pub(super) count: u64,
    pub(super) keys_only: bool,
}

impl Cursor {
    /// `request` is plain.
    pub(super) fn new(
        committed: Arc<Committed>,
        request: &RangeRequest,
    ) -> Result<Cursor, Refusal> {
        let revision = range::revision_of(request, committed.revision, committed.compacted)?;
        let rest = KeyRange::of_request(request.key.clone(), request.range_end.clone());
        let count = committed.view_at(revision).count(&rest);
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let n_left = match limit {
            _ if request.count_only => 0,
            0 => usize::MAX,
            limit => limit,
        };
        let n_left = n_left.min(usize::try_from(count).unwrap_or(usize::MAX));
        Ok(Cursor { committed, revision, rest, n_left, count, keys_only: request.keys_only })
    }

    pub(super) fn n_left(&self) -> usize {
        self.n_left
    }

    /// Whether the limit leaves any out, seen from the beginning.
    pub(super) fn has_more(&self, request: &RangeRequest) -> bool {
        !request.count_only && (self.n_left as u64) < self.count
    }

    /// Every key that is left, without going on.
    pub(super) fn peek(&self) -> impl Iterator<Item = (usize, &Version)> {
        let existing = self.committed.view_at(self.revision).range(&self.rest).take(self.n_left);
        existing.map(|(key, version)| (key.len(), version))
    }

    /// Hands over keys with their values until `take` has enough and says so by false.
    pub(super) fn go_on(
        &mut self,
        mut take: impl FnMut(&Bytes, &Version, Bytes) -> bool,
    ) -> Result<(), ReadError> {
        let mut last = None;
        let view = self.committed.view_at(self.revision);
        for (key, version) in view.range(&self.rest).take(self.n_left) {
            let key = key.to_bytes();
            let value = match self.keys_only {
                true => Bytes::new(),
                false => self.committed.value(&key, version)?,
            };
            let has_enough = !take(&key, version, value);
            self.n_left -= 1;
            last = Some(key);
            if has_enough {
                break;
            }
        }
        if let Some(last) = last {
            self.rest = self.rest.after(&last);
        }
        Ok(())
    }
}
