//! The vocabulary of the agent as plain values: ids with units, CPU sets, the machine, and the
//! stages Sample -> Snapshot -> Plan -> Step -> Outcome. Does no I/O, reads no clock.

pub mod annotation;
pub mod burst;
pub mod cpuset;
pub mod decision;
pub mod derive;
pub mod enhancement;
pub mod explained;
pub mod headroom;
pub mod histogram;
pub mod knob;
pub mod ledger;
pub mod measured;
pub mod memory;
pub mod numa;
pub mod overcommit;
pub mod placement;
pub mod plan;
pub mod pod;
pub mod policy;
pub mod provision;
pub mod qos;
pub mod quantity;
pub mod record;
pub mod sample;
pub mod snapshot;
pub mod topology;
pub mod units;
pub mod wire;

pub use cpuset::CpuSet;
pub use histogram::Histogram;
pub use numa::NumaSet;
pub use topology::Topology;
pub use units::*;
