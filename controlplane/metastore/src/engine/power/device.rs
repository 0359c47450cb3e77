//! What a device that loses power makes of changes that were not synced. Owns the throw of the dice; the calls are `power`'s.

use crate::random::Random;
use std::collections::BTreeMap;

/// What a device writes whole or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What reads see.
    pub(super) cached: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link { name: String, inode: usize },
    Rename { from: String, to: String },
    Unlink { name: String },
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
        }
    }
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(*length, 0),
        }
    }

    /// The parts that reach the device each by itself.
    fn sectors(&self) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else { return vec![self.clone()] };
        let (mut parts, mut start) = (Vec::new(), 0);
        while start < bytes.len() {
            let to_border = SECTOR_BYTES - (offset + start) % SECTOR_BYTES;
            let end = bytes.len().min(start + to_border);
            parts.push(Self::Write { offset: offset + start, bytes: bytes[start..end].to_vec() });
            start = end;
        }
        parts
    }
}

impl Inode {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn after_cut(&self, random: &mut Random) -> Vec<u8> {
        let mut parts: Vec<Change> = self.pending.iter().flat_map(Change::sectors).collect();
        for last in (1..parts.len()).rev() {
            parts.swap(last, random.below(last as u64 + 1) as usize);
        }
        // Nothing, everything, or each part by the throw of a coin.
        let habit = random.below(4);
        let mut content = self.durable.clone();
        for part in parts {
            if habit == 1 || (habit > 1 && random.one_in(2)) {
                part.apply(&mut content);
            }
        }
        content
    }
}
