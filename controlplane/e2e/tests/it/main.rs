//! Tests against a real etcd and a real Kubernetes control plane. One binary; a module per component. Needs the programs of
//! `cargo xtask setup --group control-plane` and `setpriv`; run by `cargo xtask test --tier e2e`.

mod agent;
mod agent_apiserver;
mod agent_churn;
mod agent_configz;
mod agent_foreign;
mod agent_huge;
mod agent_many_pods;
mod agent_observe;
mod agent_pod_starts;
mod agent_reports;
mod agent_resize;
mod agent_rights;
mod agent_runtime_faults;
mod agent_suppression;
mod agent_systemd;
mod agent_upgrade;
mod agent_zones;
mod alerts;
mod apiserver;
mod cgroups;
mod churn;
mod controllers;
mod daemonset;
mod faults;
mod kinds;
mod knobs;
mod metastore;
mod node;
mod node_agent;
mod nri;
mod placement;
mod reports;
mod scheduler;
mod watch;
