//! Starts the real components that tests run against: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd. Owns
//! their ports, certificates, logs and their end. For tests and tools only; nothing of the product depends on it.
//!
//! A test that only reads and writes objects takes [`shared()`] and a [`Namespace`] of its own. A test that runs controllers,
//! or stops a server, starts its own:
//!
//! ```text
//! let bench = Bench::of_test()?;                                   log folder of this test, programs
//! let store = Store::start(&bench).await?;                         an etcd or a metastore of ours; returns when it is ready
//! let apiserver = Apiserver::start(&bench, store.endpoint()).await?;
//! let client = apiserver.client()?;
//! ```
//!
//! Everything ends when its value is dropped, also in a panic, and when the process of the test dies in any way.

mod apiserver;
mod audit;
mod bench;
mod cluster;
mod containerd;
mod controllers;
mod etcd;
mod kubeconfig;
mod metastore;
mod namespace;
mod node;
mod pki;
mod port;
mod process;
mod programs;
mod promtool;
mod ready;
mod shared;
mod store;

pub use apiserver::Apiserver;
pub use bench::Bench;
pub use cluster::Cluster;
pub use containerd::Containerd;
pub use controllers::{Controllers, Scheduler};
pub use etcd::Etcd;
pub use kubeconfig::Kubeconfig;
pub use metastore::Metastore;
pub use namespace::Namespace;
pub use node::{Node, NodeFile, Output, Settings, Shape, Shell, Start, Timings};
pub use pki::{HOST_OF_GUESTS, Identity, Pki};
pub use programs::built;
pub use promtool::promtool;
pub use ready::eventually;
pub use shared::{Shared, shared};
pub use store::Store;
