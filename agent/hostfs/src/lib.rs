//! The host's files: cgroup v2, sysfs, procfs and PSI, each below an injected [`HostRoot`]. The
//! only crate that opens host files. Text becomes values in pure parsers (`parse`), so that every
//! byte the kernel can send is also a test row. Decides nothing and keeps no state but open files.

pub mod cgroup;
pub mod error;
mod file;
pub mod identity;
pub mod parse;
pub mod procfs;
pub mod psi;
pub mod root;
pub mod sysfs;

pub use cgroup::dir::{Cgroup, CgroupFile};
pub use cgroup::layout::{Layout, detect_layout};
pub use cgroup::read::{read_knob, read_knobs};
pub use cgroup::tree::CgroupTree;
pub use cgroup::write::{knob_file, write_knob, write_text};
pub use error::{ReadError, WriteError};
pub use root::HostRoot;
pub use sysfs::topology::{TopologyError, read_topology};
