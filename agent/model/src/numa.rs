//! `NumaSet`: a set of NUMA nodes as one word, because hints enumerate tens of thousands of them.
//! Holds node ids 0..64; which nodes exist is `Topology`.

use std::fmt;

use crate::cpuset::CpuSet;
use crate::units::{CpuId, NumaNodeId};

/// Node ids a set can hold. Linux allows 1024 (`CONFIG_NODES_SHIFT`); nodes with CPUs number at
/// most 32 on machines sold today, and ids are dense.
pub const MAX_NODES: u16 = 64;

/// A set of NUMA nodes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumaSet(u64);

impl NumaSet {
    pub const EMPTY: NumaSet = NumaSet(0);

    pub fn single(node: NumaNodeId) -> NumaSet {
        std::iter::once(node).collect()
    }

    /// Reads the kernel's list format (`0,2-3`); `None` for anything else and for ids over 63.
    pub fn parse(text: &str) -> Option<NumaSet> {
        let list: CpuSet = text.parse().ok()?;
        let mut set = NumaSet::EMPTY;
        list.iter().all(|id| set.insert(NumaNodeId(id.0))).then_some(set)
    }

    /// Adds a node; an id that cannot be held is refused with `false`.
    pub fn insert(&mut self, node: NumaNodeId) -> bool {
        let fits = node.0 < MAX_NODES;
        if fits {
            self.0 |= 1 << node.0;
        }
        fits
    }

    pub const fn contains(self, node: NumaNodeId) -> bool {
        node.0 < MAX_NODES && self.0 & (1 << node.0) != 0
    }

    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn union(self, other: NumaSet) -> NumaSet {
        NumaSet(self.0 | other.0)
    }

    pub const fn intersection(self, other: NumaSet) -> NumaSet {
        NumaSet(self.0 & other.0)
    }

    pub const fn difference(self, other: NumaSet) -> NumaSet {
        NumaSet(self.0 & !other.0)
    }

    pub const fn is_subset(self, other: NumaSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Nodes in ascending order.
    pub fn iter(self) -> impl Iterator<Item = NumaNodeId> {
        (0..MAX_NODES).map(NumaNodeId).filter(move |node| self.contains(*node))
    }
}

impl FromIterator<NumaNodeId> for NumaSet {
    /// Collects nodes; ids that cannot be held are left out.
    fn from_iter<I: IntoIterator<Item = NumaNodeId>>(nodes: I) -> NumaSet {
        let mut set = NumaSet::EMPTY;
        for node in nodes {
            set.insert(node);
        }
        set
    }
}

impl fmt::Display for NumaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: CpuSet = self.iter().map(|node| CpuId(node.0)).collect();
        list.fmt(f)
    }
}

impl fmt::Debug for NumaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NumaSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_nodes_are_read_and_printed() {
        let set = NumaSet::parse("0,2-3").expect("a list");
        assert_eq!((set.len(), set.to_string().as_str()), (3, "0,2-3"));
        assert!(set.contains(NumaNodeId(3)) && !set.contains(NumaNodeId(1)));
        assert_eq!(NumaSet::parse(""), Some(NumaSet::EMPTY));
        for text in ["64", "a", "1-", "-1", "0,,1", "9999999"] {
            assert_eq!(NumaSet::parse(text), None, "{text}");
        }
        assert!(NumaSet::parse("2").expect("2").is_subset(set));
    }
}
