//! The programs of the control plane as processes.

#[cfg(feature = "metastore")]
mod metastore_full_disk;
#[cfg(feature = "metastore")]
mod metastore_kill;
#[cfg(feature = "metastore")]
mod metastore_slow_watcher;
#[cfg(feature = "metastore")]
mod metastore_stores;
#[cfg(feature = "metastore")]
mod metastore_tasks;
#[cfg(feature = "metastore")]
mod store;
