//! Values that no compression makes smaller: every byte is new. Real objects would shrink, which no server here makes use of by itself.

use bench::random::SplitMix64;
use bytes::{Bytes, BytesMut};

/// A stream of random numbers; the same seed gives the same stream.
#[derive(Debug, Clone)]
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Random {
        Random(SplitMix64::new(seed))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0.number()
    }

    pub(crate) fn value(&mut self, n_bytes: usize) -> Bytes {
        let stamp = self.next();
        self.stamped(stamp, n_bytes)
    }

    /// A value that begins with a number: `stamp_of` reads it back.
    pub(crate) fn stamped(&mut self, stamp: u64, n_bytes: usize) -> Bytes {
        let mut value = BytesMut::with_capacity(n_bytes.max(8) + 8);
        value.extend_from_slice(&stamp.to_be_bytes());
        while value.len() < n_bytes {
            value.extend_from_slice(&self.next().to_be_bytes());
        }
        value.truncate(n_bytes.max(8));
        value.freeze()
    }
}

/// The number that a value begins with; `None` when it is too short for one.
pub(crate) fn stamp_of(value: &[u8]) -> Option<u64> {
    value.first_chunk::<8>().map(|head| u64::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::{Random, stamp_of};

    #[test]
    fn values_have_their_length_and_never_repeat() {
        let mut random = Random::new(7);
        let values: Vec<_> = [8, 9, 1000, 1024].iter().map(|&n| random.value(n)).collect();
        assert_eq!(values.iter().map(bytes::Bytes::len).collect::<Vec<_>>(), [8, 9, 1000, 1024]);
        assert_ne!(values[2][..500], values[3][..500]);
        assert_eq!(Random::new(7).value(64), Random::new(7).value(64));
    }

    #[test]
    fn a_stamp_is_read_back() {
        let mut random = Random::new(1);
        assert_eq!(stamp_of(&random.stamped(42, 100)), Some(42));
        assert_eq!(random.stamped(42, 3).len(), 8);
        assert_eq!(stamp_of(b"short"), None);
    }
}
