//! Tests against a real etcd and a real Kubernetes control plane. One binary; a module per component. Needs the programs of
//! `cargo xtask setup --group control-plane` and `setpriv`; run by `cargo xtask test --tier e2e`.

mod agent;
mod agent_apiserver;
mod agent_reports;
mod agent_rights;
mod agent_suppression;
mod alerts;
mod apiserver;
mod controllers;
mod daemonset;
mod faults;
mod node;
mod node_agent;
mod nri;
mod reports;
mod scheduler;
