//! cgroup v2: where it is mounted, held directories, the values of its files, walking the tree.
//! cgroup v1 is recognised and left alone.

pub mod dir;
pub mod glob;
pub mod layout;
pub mod oom;
pub mod parse;
pub mod read;
pub mod tree;
pub mod trigger;
pub mod walk;
pub mod write;
