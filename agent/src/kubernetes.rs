//! The agent on a node of Kubernetes: what the container runtime tells of pods goes to the collector, what the advisor promises goes into
//! the runtime's answers, and cpusets are written by the runtime. Decides nothing.

mod apiserver;
mod container_files;
mod deaf;
mod intruders;
mod managed;
mod plugin;
mod report;
mod talk;

pub use apiserver::Cluster;
pub use container_files::ContainerFiles;
pub use managed::with_managed_cgroup;
pub(crate) use managed::{driver_of, place_of};
pub use talk::{Conversation, start};
#[cfg(test)]
pub(crate) use {deaf::Deafness, plugin::not_understood, report::not_reported};
