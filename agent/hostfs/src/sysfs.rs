//! The machine's shape from `/sys/devices/system`: `raw` reads the files, `parse` turns text into
//! values, `topology` makes a `Topology` of them without touching a file.

pub mod memory;
pub mod parse;
mod raw;
pub mod topology;
