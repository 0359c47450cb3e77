//! The store of an apiserver: an etcd, or our own in its place. So every test can be run on both.

use std::env;

use anyhow::bail;

use crate::bench::Bench;
use crate::etcd::Etcd;
use crate::metastore::Metastore;

/// `etcd` when it is not set, or `berth`.
const CHOICE: &str = "BERTH_TEST_STORE";

#[derive(Debug)]
pub enum Store {
    Etcd(Etcd),
    Berth(Metastore),
}

impl Store {
    /// An empty one, of the kind that the environment names. Returns when it answers.
    pub async fn start(bench: &Bench) -> anyhow::Result<Store> {
        match env::var(CHOICE).as_deref() {
            Err(_) | Ok("etcd") => Ok(Store::Etcd(Etcd::start(bench).await?)),
            Ok("berth") => Ok(Store::Berth(Metastore::start(bench).await?)),
            Ok(other) => bail!("{CHOICE}={other:?}: etcd and berth are stores"),
        }
    }

    /// What an apiserver's `--etcd-servers` takes.
    pub fn endpoint(&self) -> &str {
        match self {
            Store::Etcd(etcd) => etcd.endpoint(),
            Store::Berth(metastore) => metastore.endpoint(),
        }
    }

    /// For people, with resident memory in KiB; `None` when it has ended.
    pub fn memory_kib(&self) -> (&'static str, Option<u64>) {
        match self {
            Store::Etcd(etcd) => ("etcd", etcd.memory_kib()),
            Store::Berth(metastore) => ("metastore", metastore.memory_kib()),
        }
    }
}
