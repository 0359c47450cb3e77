//! Owns which keys a request names: one key, the keys before an end, or all keys from a start on. Owns no keys and no order but that of
//! bytes.

use bytes::Bytes;

/// The keys that a request names, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key that can be in the range.
    pub start: Bytes,
    /// Where the range ends.
    pub end: End,
}

/// Where a [`KeyRange`] ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The range is the key `start` and no other.
    Single,
    /// The first key after the range; at or before `start` it leaves the range empty.
    Before(Bytes),
    /// Every key from `start` on.
    Unbounded,
}

impl KeyRange {
    /// The range that etcd's `key` and `range_end` mean: no end is the one key, and an end of one zero byte is everything from `key` on.
    pub fn of_request(key: Bytes, range_end: Bytes) -> Self {
        let end = match &range_end[..] {
            [] => End::Single,
            [0] => End::Unbounded,
            _ => End::Before(range_end),
        };
        Self { start: key, end }
    }

    /// Every key there is, the empty one too.
    pub fn all() -> Self {
        Self { start: Bytes::new(), end: End::Unbounded }
    }

    /// What is left of this range behind `last`: how a reader goes on where it stopped.
    pub fn after(&self, last: &[u8]) -> Self {
        if last < &self.start[..] {
            return self.clone();
        }
        // No key lies between `last` and `last` with a zero byte behind it.
        let start = Bytes::from([last, &[0]].concat());
        let end = match &self.end {
            End::Single => End::Before(self.start.clone()),
            other => other.clone(),
        };
        Self { start, end }
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == &self.start[..],
            End::Before(end) => &self.start[..] <= key && key < &end[..],
            End::Unbounded => &self.start[..] <= key,
        }
    }

    /// Whether no key at all can be in the range.
    pub fn is_empty(&self) -> bool {
        matches!(&self.end, End::Before(end) if end <= &self.start)
    }
}
