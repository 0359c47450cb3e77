//! Owns the nodes of the tree: how a key is found, how a change goes down one path and comes back up as splits, merges and weights. A
//! node is copied on the way down only if someone else holds it too. Owns neither the root nor how many entries there are.

use std::sync::Arc;

use super::block::Block;
use super::keys::separator;
use super::{Fanout, Weigh};

/// Levels that a path can have. Each level but the root has at least two children a node, most have a quarter of the fan-out.
const MAX_LEVELS: usize = 32;

/// A leaf holds values; a branch holds nodes of one level. Leaves are all equally deep.
#[derive(Clone)]
pub(super) enum Node<V> {
    Leaf(Block<V>),
    /// The key of a child is at or below all keys of the child and above all keys of the child before it.
    Branch(Block<Child<V>>),
}

/// A node below a branch. Its weight is here, so that a count reads only the branches on its way.
pub(super) struct Child<V> {
    pub(super) node: Arc<Node<V>>,
    pub(super) weight: u64,
}

/// The right half of a node that was too full.
pub(super) struct Split<V> {
    pub(super) separator: Vec<u8>,
    pub(super) right: Child<V>,
}

/// The slots that lead to a key: one in each branch, the last in the leaf.
pub(super) struct Path {
    slots: [u8; MAX_LEVELS],
    levels: usize,
    /// Whether the key is there, or would have to go there.
    pub(super) found: bool,
}

/// What an update left: its answer, and the entry's weight before and after.
pub(super) struct Updated<R> {
    pub(super) answer: R,
    pub(super) weight_before: u64,
    pub(super) weight_after: u64,
}

impl<V> Clone for Child<V> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), weight: self.weight }
    }
}

impl<V> Weigh for Child<V> {
    fn weight(&self) -> u64 {
        self.weight
    }
}

impl Path {
    pub(super) fn slots(&self) -> &[u8] {
        &self.slots[..self.levels]
    }

    fn push(&mut self, slot: usize) {
        self.slots[self.levels] = u8::try_from(slot).expect("invariant: a fan-out is under 256");
        self.levels += 1;
    }
}

impl<V> Node<V> {
    pub(super) fn locate(&self, key: &[u8]) -> Path {
        let mut path = Path { slots: [0; MAX_LEVELS], levels: 0, found: false };
        let mut node = self;
        loop {
            match node {
                Self::Branch(block) => {
                    let slot = block.child_slot(key);
                    path.push(slot);
                    node = &block.items[slot].node;
                }
                Self::Leaf(block) => {
                    let place = block.keys.find(key);
                    path.found = place.is_ok();
                    path.push(place.unwrap_or_else(|slot| slot));
                    return path;
                }
            }
        }
    }

    /// The leaf that `key` belongs to.
    pub(super) fn leaf_of(&self, key: &[u8]) -> &Block<V> {
        let mut node = self;
        loop {
            match node {
                Self::Branch(block) => node = &block.items[block.child_slot(key)].node,
                Self::Leaf(block) => return block,
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(block) => block.len(),
            Self::Branch(block) => block.len(),
        }
    }

    fn max_len(&self, fanout: Fanout) -> usize {
        match self {
            Self::Leaf(_) => fanout.leaf.into(),
            Self::Branch(_) => fanout.branch.into(),
        }
    }

    /// Entries or children below which a node that is not the root takes from its neighbour or joins it. A quarter, so that a node that was
    /// just split or joined is far from the next time; two, so that there is a neighbour.
    pub(super) fn min_len(&self, fanout: Fanout) -> usize {
        (self.max_len(fanout) / 4).max(2)
    }
}

impl<V: Weigh> Node<V> {
    fn weight(&self) -> u64 {
        match self {
            Self::Leaf(block) => block.weight(),
            Self::Branch(block) => block.weight(),
        }
    }

    /// The weight of all entries below `key`.
    pub(super) fn weight_below(&self, key: &[u8]) -> u64 {
        let (mut node, mut weight) = (self, 0);
        loop {
            match node {
                Self::Branch(block) => {
                    let slot = block.child_slot(key);
                    weight += block.weight_before(slot);
                    node = &block.items[slot].node;
                }
                Self::Leaf(block) => return weight + block.weight_before(block.lower_bound(key)),
            }
        }
    }

    /// Cuts this node before `slot`. The key between the halves of a leaf is cut too: only as much of it as tells them apart.
    fn split_at(&mut self, slot: usize) -> Split<V> {
        let (separator, right) = match self {
            Self::Leaf(block) => {
                let right = block.split_off(slot);
                let between = separator(block.keys.get(slot - 1), right.keys.get(0)).to_vec();
                (between, Self::Leaf(right))
            }
            Self::Branch(block) => {
                let right = block.split_off(slot);
                (right.keys.get(0).to_vec(), Self::Branch(right))
            }
        };
        let weight = right.weight();
        Split { separator, right: Child { node: Arc::new(right), weight } }
    }
}

impl<V: Clone + Weigh> Node<V> {
    /// Changes the value at `path`, which leads to one.
    pub(super) fn update_at<R>(
        &mut self,
        path: &[u8],
        change: impl FnOnce(&mut V) -> R,
    ) -> Updated<R> {
        let (slot, below) = step(path);
        match self {
            Self::Leaf(block) => {
                let value = &mut block.items[slot];
                let weight_before = value.weight();
                let answer = change(value);
                Updated { answer, weight_before, weight_after: value.weight() }
            }
            Self::Branch(block) => {
                let child = &mut block.items[slot];
                let updated = Arc::make_mut(&mut child.node).update_at(below, change);
                child.weight = child.weight - updated.weight_before + updated.weight_after;
                updated
            }
        }
    }

    /// Puts a new entry at `path`, where its key is not yet.
    pub(super) fn insert_at(
        &mut self,
        path: &[u8],
        key: &[u8],
        value: V,
        fanout: Fanout,
    ) -> Option<Split<V>> {
        let (slot, below) = step(path);
        let new_slot = match self {
            Self::Leaf(block) => {
                block.insert(slot, key, value);
                slot
            }
            Self::Branch(block) => {
                let child = &mut block.items[slot];
                child.weight += value.weight();
                let split = Arc::make_mut(&mut child.node).insert_at(below, key, value, fanout)?;
                child.weight -= split.right.weight;
                block.insert(slot + 1, &split.separator, split.right);
                slot + 1
            }
        };
        (self.len() > self.max_len(fanout)).then(|| {
            let cut = self.cut_for(new_slot, fanout);
            self.split_at(cut)
        })
    }

    /// Where to cut a node that became too full by what came to `new_slot`. Keys that come in order fill one edge of the tree and never
    /// come back, so there most stays on the side that is done.
    fn cut_for(&self, new_slot: usize, fanout: Fanout) -> usize {
        let (len, least) = (self.len(), self.min_len(fanout));
        match new_slot {
            0 => least,
            last if last + 1 == len => len - least,
            _ => len / 2,
        }
    }

    /// Takes out the entry at `path`, which leads to one.
    pub(super) fn remove_at(&mut self, path: &[u8], fanout: Fanout) -> V {
        let (slot, below) = step(path);
        match self {
            Self::Leaf(block) => block.remove(slot),
            Self::Branch(block) => {
                let child = &mut block.items[slot];
                let value = Arc::make_mut(&mut child.node).remove_at(below, fanout);
                child.weight -= value.weight();
                if child.node.len() < child.node.min_len(fanout) {
                    mend(block, slot, fanout);
                }
                value
            }
        }
    }

    fn append(&mut self, right: Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => left.append(right),
            (Self::Branch(left), Self::Branch(right)) => left.append(right),
            _ => unreachable!("the children of a branch are of one level"),
        }
    }
}

/// Joins the child at `slot`, which has too little, with a neighbour, and cuts them in the middle if they are too much for one.
fn mend<V: Clone + Weigh>(block: &mut Block<Child<V>>, slot: usize, fanout: Fanout) {
    let left_slot = slot.saturating_sub(1);
    let right = block.remove(left_slot + 1);
    let left = &mut block.items[left_slot];
    let node = Arc::make_mut(&mut left.node);
    node.append(Arc::unwrap_or_clone(right.node));
    left.weight += right.weight;
    if node.len() > node.max_len(fanout) {
        let split = node.split_at(node.len() / 2);
        left.weight -= split.right.weight;
        block.insert(left_slot + 1, &split.separator, split.right);
    }
}

fn step(path: &[u8]) -> (usize, &[u8]) {
    let (slot, below) = path.split_first().expect("invariant: a path has a slot for each level");
    ((*slot).into(), below)
}
