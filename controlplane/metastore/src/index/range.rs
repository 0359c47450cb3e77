//! Owns the walk over the entries of a range: down to the first leaf once, then from leaf to leaf. Owns no entries: it borrows the index.

use std::iter::FusedIterator;

use super::block::Block;
use super::key_range::{End, KeyRange};
use super::keys::Key;
use super::node::{Child, Node};

/// The entries of a [`KeyRange`] in ascending order.
pub struct Range<'a, V> {
    /// The branches above the leaf, each with the slot of the next child.
    above: Vec<(&'a Block<Child<V>>, usize)>,
    leaf: &'a Block<V>,
    /// The next entry of the leaf.
    slot: usize,
    /// The first entry of the leaf that is not in the range.
    leaf_end: usize,
    end: End,
}

impl<'a, V> Range<'a, V> {
    pub(super) fn new(root: &'a Node<V>, range: &KeyRange) -> Self {
        let mut above = Vec::new();
        let mut node = root;
        let leaf = loop {
            match node {
                Node::Leaf(block) => break block,
                Node::Branch(block) => {
                    let slot = block.child_slot(&range.start);
                    above.push((block, slot + 1));
                    node = &block.items[slot].node;
                }
            }
        };
        let place = leaf.keys.find(&range.start);
        let slot = place.unwrap_or_else(|slot| slot);
        let mut walk = Self { above, leaf, slot, leaf_end: slot, end: range.end.clone() };
        match range.end {
            End::Single => {
                walk.leaf_end += usize::from(place.is_ok());
                walk.above.clear();
            }
            _ if range.is_empty() => walk.above.clear(),
            _ => walk.find_leaf_end(),
        }
        walk
    }

    /// Goes to the next leaf if the range goes on there.
    fn next_leaf(&mut self) -> Option<()> {
        let mut node = loop {
            let (block, slot) = self.above.last_mut()?;
            if let Some(child) = block.items.get(*slot) {
                *slot += 1;
                break &*child.node;
            }
            self.above.pop();
        };
        while let Node::Branch(block) = node {
            self.above.push((block, 1));
            node = &block.items[0].node;
        }
        if let Node::Leaf(block) = node {
            (self.leaf, self.slot) = (block, 0);
            self.find_leaf_end();
        }
        Some(())
    }

    /// One search a leaf, so that entries need no look at the end of the range.
    fn find_leaf_end(&mut self) {
        self.leaf_end = match &self.end {
            End::Before(end) => self.leaf.lower_bound(end),
            End::Single | End::Unbounded => self.leaf.len(),
        };
        if self.leaf_end < self.leaf.len() {
            self.above.clear();
        }
    }
}

impl<'a, V> Iterator for Range<'a, V> {
    type Item = (Key<'a>, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        while self.slot >= self.leaf_end {
            self.next_leaf()?;
        }
        let slot = self.slot;
        self.slot += 1;
        Some((self.leaf.keys.key(slot), &self.leaf.items[slot]))
    }
}

impl<V> FusedIterator for Range<'_, V> {}

impl<V> std::fmt::Debug for Range<'_, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Range").field("end", &self.end).finish_non_exhaustive()
    }
}
