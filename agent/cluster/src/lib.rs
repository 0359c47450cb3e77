//! The conversation with the cluster that a node belongs to: the apiserver (`pods`, `node`, `write`) and the kubelet (`kubelet`, `configz`). Owns
//! connections, retries and the reading of foreign objects into the model's values. Decides nothing: what is written comes from the caller.

pub mod configz;
mod connect;
pub mod events;
pub mod kubelet;
pub mod node;
pub mod pods;
mod watching;
pub mod write;

pub use connect::{Access, ConnectError, connect};
pub use kube::Client;

/// The time of day, as objects of the cluster carry it (RFC 3339). Nothing is decided by it.
pub fn wall_clock() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
