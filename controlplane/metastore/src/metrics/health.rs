//! Series for the alerts of the store: what has gone wrong beside the requests, and how much room there is. Owns their names and the hooks
//! that count them; the alerts are those of `deploy/monitoring/metastore/alerts.yaml`.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::store::Store;

/// Counted while the store runs.
#[derive(Debug)]
pub struct Health {
    began: SystemTime,
    leases_expired: Counter,
    upkeep_failures: Counter,
    behind_checkpoint: Gauge,
    beside: OnceLock<Arc<Registry>>,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            began: SystemTime::now(),
            leases_expired: Counter::default(),
            upkeep_failures: Counter::default(),
            behind_checkpoint: Gauge::default(),
            beside: OnceLock::new(),
        }
    }
}

impl Health {
    /// Leases whose time was over, and that nobody revoked.
    pub fn leases_expired(&self, n_leases: usize) {
        self.leases_expired.inc_by(n_leases as u64);
    }

    /// A checkpoint was not written, or room of the log not given back.
    pub fn upkeep_failed(&self) {
        self.upkeep_failures.inc();
    }

    /// So much of the log would be read at a start.
    pub fn behind_checkpoint(&self, n_bytes: u64) {
        self.behind_checkpoint.set(i64::try_from(n_bytes).unwrap_or(i64::MAX));
    }

    /// Series of who works in the store beside its clients; they stand on the same page. Taken once.
    pub fn show_beside(&self, registry: Arc<Registry>) {
        // Whoever comes second has been shown already.
        let _ = self.beside.set(registry);
    }

    pub(super) fn beside(&self) -> Option<&Registry> {
        self.beside.get().map(Arc::as_ref)
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let about = "Leases whose time was over";
        registry.register("etcd_server_lease_expired", about, self.leases_expired.clone());
        let about = "Times that a checkpoint was not written or room of the log not given back";
        registry.register("berth_metastore_upkeep_failures", about, self.upkeep_failures.clone());
        let about = "What a start reads of the log behind the newest checkpoint";
        let name = "berth_metastore_log_behind_checkpoint_bytes";
        registry.register(name, about, self.behind_checkpoint.clone());
    }

    pub(super) fn now(&self, store: &Store) -> Vec<(&'static str, &'static str, u64)> {
        let since = self.began.duration_since(SystemTime::UNIX_EPOCH);
        let mut now = vec![
            (
                "process_start_time_seconds",
                "When the store was opened, since 1970",
                since.unwrap_or_default().as_secs(),
            ),
            (
                "etcd_debugging_mvcc_slow_watcher_total",
                "Watches that read on from the store because they did not take what they were handed",
                store.hub.n_behind() as u64,
            ),
        ];
        // A file system that does not tell has no series.
        let told = store.engine().folder().and_then(|folder| rustix::fs::statvfs(&folder).ok());
        if let Some(told) = told {
            let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
            now.extend([
                ("berth_metastore_disk_bytes", "Size of the file system", bytes(told.f_blocks)),
                (
                    "berth_metastore_disk_available_bytes",
                    "What of it can be written",
                    bytes(told.f_bavail),
                ),
            ]);
        }
        now
    }
}
