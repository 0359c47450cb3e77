//! Keys with something to forget, in the order in which it can be. Owns their form: a store that is compacted every five minutes has a
//! million of them and more, so that they lie packed in pieces of memory, and a piece is given back when its last key is taken.

use std::collections::VecDeque;

use crate::mvcc::Revision;

/// Of a piece, unless one key needs more.
const PIECE_BYTES: usize = 64 << 10;
/// Before each key: the revision, and the length of the key.
const HEAD_BYTES: usize = 12;

/// Keys behind their heads; none lies in two pieces.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    pieces: VecDeque<Vec<u8>>,
    /// Of the first piece, what is taken: less than all.
    taken: usize,
}

impl Superseded {
    /// Behind all others: from `revision` on, something of `key` can be forgotten.
    pub(super) fn push(&mut self, revision: Revision, key: &[u8]) {
        // No request is that long.
        let Ok(length) = u32::try_from(key.len()) else { return };
        let bytes = HEAD_BYTES + key.len();
        let last = self.pieces.pop_back_if(|piece| piece.capacity() - piece.len() >= bytes);
        let mut piece = last.unwrap_or_else(|| Vec::with_capacity(bytes.max(PIECE_BYTES)));
        piece.extend_from_slice(&revision.to_le_bytes());
        piece.extend_from_slice(&length.to_le_bytes());
        piece.extend_from_slice(key);
        self.pieces.push_back(piece);
    }

    /// From which revision on the first one can be.
    pub(super) fn first(&self) -> Option<Revision> {
        let revision = self.pieces.front()?[self.taken..].first_chunk()?;
        Some(Revision::from_le_bytes(*revision))
    }

    /// The first key, if it is due when everything before `compacted` is forgotten.
    pub(super) fn take(&mut self, compacted: Revision) -> Option<Vec<u8>> {
        if self.first()? > compacted {
            return None;
        }
        let piece = self.pieces.front()?;
        let begin = self.taken + HEAD_BYTES;
        let length = u32::from_le_bytes(*piece[..begin].last_chunk()?);
        let end = begin + length as usize;
        let key = piece[begin..end].to_vec();
        self.taken = end;
        if end == piece.len() {
            self.pieces.pop_front();
            self.taken = 0;
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        let length = prop_oneof![8 => 0..40usize, 1 => PIECE_BYTES - 20..PIECE_BYTES + 20];
        (any::<u8>(), length).prop_map(|(byte, length)| vec![byte; length])
    }

    proptest! {
        /// As a queue of the standard library, whatever is between: `None` takes one.
        #[test]
        fn what_goes_in_comes_out_in_order(
            steps in prop::collection::vec((prop::option::weighted(0.6, key()), 0..4i64), 1..200),
        ) {
            let (mut packed, mut plain) = (Superseded::default(), VecDeque::new());
            let mut revision = 1;
            for (key, ahead) in steps {
                match key {
                    Some(key) => {
                        revision += ahead;
                        packed.push(revision, &key);
                        plain.push_back((revision, key));
                    }
                    None => {
                        let due = revision - ahead;
                        let expected = plain.pop_front_if(|(at, _)| *at <= due);
                        prop_assert_eq!(packed.take(due), expected.map(|(_, key)| key));
                    }
                }
                prop_assert_eq!(packed.first(), plain.front().map(|(revision, _)| *revision));
            }
        }
    }

    #[test]
    fn a_million_keys_take_what_they_are_long_and_are_given_back() {
        let mut packed = Superseded::default();
        for revision in 0..1_000_000 {
            packed.push(revision, b"/registry/things/0000");
        }
        let bytes: usize = packed.pieces.iter().map(Vec::capacity).sum();
        assert!(bytes < 34_000_000, "{bytes} bytes");
        while packed.take(999_000).is_some() {}
        assert_eq!(packed.first(), Some(999_001));
        assert_eq!(packed.pieces.len(), 1);
    }
}
