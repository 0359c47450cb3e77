//! A metadata store with the API of etcd, for apiservers: a log with one fdatasync for a group of writes, an ordered index in memory that
//! counts, and watches that lose nothing. Owns the service; the program that starts it is `berth-control`.

pub mod engine;
