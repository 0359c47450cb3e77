//! A metadata store with the API of etcd, for apiservers: a log with one fdatasync for a group of writes, an ordered index in memory that
//! counts, and watches that lose nothing. Owns the service; the program that starts it is `berth-control`.

pub mod alarm;
pub mod auto_compaction;
pub mod checkpoint;
pub mod chronology;
pub mod copy;
pub mod engine;
pub mod grpc;
pub mod happening;
pub mod hash;
pub mod index;
pub mod lease;
pub mod metrics;
pub mod mvcc;
pub mod policy;
pub mod random;
pub mod range;
pub mod recent;
pub mod record;
pub mod refusal;
pub mod replay;
pub mod reserve;
pub mod rewind;
pub mod server;
pub mod service;
pub mod snapshot;
pub mod state;
pub mod store;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
pub mod txn;
pub mod watch;
