//! Owns how the keys of one node lie in memory: one buffer, first where each key ends, then the keys one behind the other. A copy of a node
//! shares the buffer, so a write to a value touches no key; a new key builds the buffer again, which is one allocation and one pass.
//!
//! Separate allocations would cost each key a pointer, a count and the allocator's rounding, and a copy of a node would have to touch
//! every one of them to count itself: a `Vec<Bytes>` in this place took a third more memory, and twice the time for a read and for a
//! write under snapshots.

use std::ops::{Deref, Range};

use bytes::Bytes;

/// Bytes that one end takes in the buffer.
const END_BYTES: usize = size_of::<u32>();

/// A key as it lies in the index. Reads as a slice.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    packed: &'a Bytes,
    start: u32,
    end: u32,
}

impl Key<'_> {
    /// The key without a copy. It keeps alive the keys of its whole node (a few KiB): right for an answer on its way out, wrong for
    /// something that stays, which takes `Bytes::copy_from_slice(&key)`.
    pub fn to_bytes(self) -> Bytes {
        self.packed.slice(self.start as usize..self.end as usize)
    }
}

impl Deref for Key<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.packed[self.start as usize..self.end as usize]
    }
}

/// The keys of one node, in ascending order.
#[derive(Clone, Default)]
pub(super) struct Keys {
    packed: Bytes,
    count: usize,
}

/// Neighbouring keys on their way into a new buffer: their ends, what to take off each end, and the keys.
struct Piece<'a> {
    ends: &'a [u8],
    base: u32,
    bytes: &'a [u8],
}

impl Keys {
    pub(super) fn get(&self, slot: usize) -> &[u8] {
        &self.packed[self.span(slot..slot + 1)]
    }

    pub(super) fn key(&self, slot: usize) -> Key<'_> {
        let span = self.span(slot..slot + 1);
        // `pack` has seen that every place in the buffer fits.
        Key { packed: &self.packed, start: span.start as u32, end: span.end as u32 }
    }

    /// Where `key` is, or else where it would go.
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    pub(super) fn insert(&mut self, slot: usize, key: &[u8]) {
        let end = length(key).to_le_bytes();
        let new = Piece { ends: &end, base: 0, bytes: key };
        *self = pack(&[self.piece(0..slot), new, self.piece(slot..self.count)]);
    }

    pub(super) fn remove(&mut self, slot: usize) {
        *self = pack(&[self.piece(0..slot), self.piece(slot + 1..self.count)]);
    }

    /// Keeps the keys before `slot` and gives back the rest.
    pub(super) fn split_off(&mut self, slot: usize) -> Self {
        let right = pack(&[self.piece(slot..self.count)]);
        *self = pack(&[self.piece(0..slot)]);
        right
    }

    pub(super) fn append(&mut self, right: &Self) {
        *self = pack(&[self.piece(0..self.count), right.piece(0..right.count)]);
    }

    fn piece(&self, slots: Range<usize>) -> Piece<'_> {
        Piece {
            ends: &self.packed[slots.start * END_BYTES..slots.end * END_BYTES],
            base: self.end_before(slots.start),
            bytes: &self.packed[self.span(slots)],
        }
    }

    /// Where the keys of `slots` lie in the buffer.
    fn span(&self, slots: Range<usize>) -> Range<usize> {
        let keys_at = self.count * END_BYTES;
        keys_at + self.end_before(slots.start) as usize
            ..keys_at + self.end_before(slots.end) as usize
    }

    /// How many bytes of keys lie before `slot`.
    fn end_before(&self, slot: usize) -> u32 {
        if slot == 0 { 0 } else { read_end(&self.packed[(slot - 1) * END_BYTES..slot * END_BYTES]) }
    }
}

/// The shortest bytes above `left` and not above `right`, which is greater: enough to tell two nodes apart.
pub(super) fn separator<'a>(left: &[u8], right: &'a [u8]) -> &'a [u8] {
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    &right[..right.len().min(common + 1)]
}

fn pack(pieces: &[Piece<'_>]) -> Keys {
    let ends_bytes: usize = pieces.iter().map(|piece| piece.ends.len()).sum();
    let keys_bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    let mut packed = Vec::with_capacity(ends_bytes + keys_bytes);
    let mut before: u32 = 0;
    for piece in pieces {
        for end in piece.ends.chunks_exact(END_BYTES) {
            packed.extend_from_slice(&(read_end(end) - piece.base + before).to_le_bytes());
        }
        before += length(piece.bytes);
    }
    for piece in pieces {
        packed.extend_from_slice(piece.bytes);
    }
    length(&packed);
    Keys { packed: Bytes::from(packed), count: ends_bytes / END_BYTES }
}

/// The length of keys of one node. A request that brings a key is some MiB at most, and a node has at most 255 of them.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("invariant: the keys of one node are under 4 GiB")
}

fn read_end(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("invariant: an end is four bytes"))
}
