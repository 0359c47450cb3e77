//! Properties on random nodes. The oracles share no code with what they judge: sets are
//! `BTreeSet`s, a cgroup tree is a map, the kernel's quirks are written out again here.

mod lending;
mod node;
mod oracle;
mod placing;
mod planning;
mod promising;
mod staleness;
mod stepping;
mod stepping_memory;
