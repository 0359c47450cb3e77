//! Loads, baselines and measurement of the demo and the benches. Runs inside the guest (or a
//! delegated cgroup subtree); booting a VM, tables and plots are `xtask`'s.

pub mod arrivals;
pub mod big_node;
pub mod cgroup;
pub mod clock;
pub mod demo;
pub mod footprint;
pub mod load;
pub mod procfs;
pub mod quantile;
pub mod random;
pub mod rule65;
pub mod suppression;
