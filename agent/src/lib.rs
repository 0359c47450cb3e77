//! The node agent: configuration, the loop, and the wiring of its edges. Decides nothing itself
//! (`advisor`), opens no host file (`hostfs`, `probe`), writes no cgroup (`actuator`).

pub mod cli;
pub mod config;

pub mod wire;

pub mod node_loop;
pub mod node_state;

pub mod admin;
pub mod doctor;
pub mod eyes;
pub mod kubernetes;
pub mod latency;
pub mod metrics;
pub mod offline;
pub mod once;
pub mod own_cgroup;
pub mod planner;
pub mod policy_table;
pub mod pressure;
pub mod priority;
pub mod recorder;
pub mod recording;
pub mod report;
pub mod rights;
pub mod ring;
pub mod self_cost;
pub mod serve;
pub mod simulate;
pub mod watchdog;
