//! Load on a store that speaks etcd's protocol, and the servers it is put on: etcd, kine, Berth's metastore, one after the other on the same
//! disk with the same requests. Owns the requests, the clocks and the servers' processes; builds no program, draws nothing.

pub mod command;
mod connections;
mod drive;
mod entry;
mod latency;
mod objects;
mod process;
mod raw;
mod scenario;
mod server;
mod sizes;
mod txn;
mod usage;
mod value;
mod workload;
mod written;
