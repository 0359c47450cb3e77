//! Tests against a real etcd and a real Kubernetes control plane. One binary; a module per component. Needs the programs of
//! `cargo xtask setup --group control-plane` and `setpriv`; run by `cargo xtask test --tier e2e`.

mod agent;
mod alerts;
mod apiserver;
mod controllers;
mod daemonset;
mod faults;
mod node;
mod nri;
mod reports;
mod scheduler;
