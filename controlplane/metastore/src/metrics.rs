//! What Prometheus reads: the series of etcd that dashboards and alerts are made of, under etcd's names, and those that only this store
//! has. Owns names and meanings; what is counted is told by whoever does it.

mod health;

use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use self::health::Health;
use crate::store::Store;

/// etcd's, from 1 ms to 8 s.
const DURATIONS_S: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192,
];
const GROUPS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Counted while the store runs.
#[derive(Debug)]
pub struct Metrics {
    append: Histogram,
    group: Histogram,
    committed: Counter,
    deferred: Counter,
    leases_granted: Counter,
    leases_ended: Counter,
    forgotten: Counter,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    pub health: Health,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            append: Histogram::new(DURATIONS_S),
            group: Histogram::new(GROUPS),
            committed: Counter::default(),
            deferred: Counter::default(),
            leases_granted: Counter::default(),
            leases_ended: Counter::default(),
            forgotten: Counter::default(),
            refused: Family::default(),
            health: Health::default(),
        }
    }
}

impl Metrics {
    /// A group of so many transactions is durable after so long, or is to be durable later.
    pub fn appended(&self, took: Option<Duration>, n_happenings: usize) {
        match took {
            Some(took) => self.append.observe(took.as_secs_f64()),
            None => drop(self.deferred.inc_by(n_happenings as u64)),
        }
        self.group.observe(n_happenings as f64);
        self.committed.inc_by(n_happenings as u64);
    }

    pub fn lease_granted(&self) {
        self.leases_granted.inc();
    }

    pub fn lease_ended(&self) {
        self.leases_ended.inc();
    }

    pub fn forgot_one(&self) {
        self.forgotten.inc();
    }

    /// A request, for a reason of the operator's.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    fn register(&self, registry: &mut Registry) {
        self.health.register(registry);
        let about = "How long the log took to make a group durable";
        registry.register("etcd_disk_wal_fsync_duration_seconds", about, self.append.clone());
        let about = "Transactions that changed something";
        registry.register("etcd_server_proposals_committed", about, self.committed.clone());
        let about = "Transactions that were answered before they were durable";
        registry.register("berth_metastore_deferred", about, self.deferred.clone());
        let about = "Leases granted";
        registry.register("etcd_debugging_lease_granted", about, self.leases_granted.clone());
        let about = "Leases that were revoked or whose time was over";
        registry.register("etcd_debugging_lease_revoked", about, self.leases_ended.clone());
        let about = "Requests refused for want of room or right";
        registry.register("berth_metastore_refused", about, self.refused.clone());
        let about = "Transactions that became durable together";
        registry.register("berth_metastore_group_transactions", about, self.group.clone());
        let about = "Keys that compaction has looked at";
        registry.register("berth_metastore_compacted_keys", about, self.forgotten.clone());
    }
}

/// The page, in the text format of OpenMetrics.
pub fn page(store: &Store) -> String {
    let mut registry = Registry::default();
    store.metrics.register(&mut registry);
    for (name, about, value) in now(store).into_iter().chain(store.metrics.health.now(store)) {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, about, gauge);
    }
    register_limits(store, &mut registry);
    let mut page = String::new();
    // A string takes everything.
    for registry in [Some(&registry), store.metrics.health.beside()].into_iter().flatten() {
        let _ = encode_registry(&mut page, registry);
    }
    let _ = encode_eof(&mut page);
    page
}

type Labelled = Family<[(&'static str, String); 1], Gauge>;

fn register_limits(store: &Store, registry: &mut Registry) {
    let alarms = Labelled::default();
    let is_raised = i64::from(store.no_space().is_some());
    alarms.get_or_create(&[("type", "NOSPACE".to_owned())]).set(is_raised);
    registry.register("berth_metastore_alarm", "1 while the alarm is raised", alarms);
    let (bytes, keys) = (Labelled::default(), Labelled::default());
    for (prefix, used_bytes, used_keys) in store.used_of_prefixes() {
        let label = [("prefix", prefix)];
        bytes.get_or_create(&label).set(used_bytes);
        keys.get_or_create(&label).set(used_keys);
    }
    let about = "Keys and values as they are now, of prefixes that have a limit";
    registry.register("berth_metastore_prefix_bytes", about, bytes);
    let about = "Keys that exist, of prefixes that have a limit";
    registry.register("berth_metastore_prefix_keys", about, keys);
}

fn now(store: &Store) -> Vec<(&'static str, &'static str, u64)> {
    let committed = store.committed();
    let size = store.engine().size();
    let room = store.room();
    let revision = |revision: i64| revision.unsigned_abs();
    vec![
        ("etcd_server_has_leader", "1 while writes are taken", u64::from(store.is_serving())),
        ("etcd_server_is_leader", "1: there is one member", 1),
        (
            "etcd_mvcc_db_total_size_in_bytes",
            "Size of log and checkpoints on disk",
            size.bytes_on_disk,
        ),
        (
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            "What counts against the quota: versions that are kept, and leases",
            room.live_bytes,
        ),
        ("etcd_server_quota_backend_bytes", "The quota; 0 for none", room.quota_bytes),
        (
            "berth_metastore_log_bytes",
            "From the oldest byte of the log to its end",
            size.bytes_in_use,
        ),
        (
            "berth_metastore_policy_reload_failed",
            "1 while the policy file cannot be used and an older one is in force",
            u64::from(store.policy.has_failed()),
        ),
        ("etcd_debugging_mvcc_keys_total", "Keys that exist", committed.index.weight()),
        (
            "etcd_debugging_mvcc_current_revision",
            "The newest durable revision",
            revision(committed.revision),
        ),
        (
            "etcd_debugging_mvcc_compact_revision",
            "Revisions below are forgotten",
            revision(committed.compacted),
        ),
        ("etcd_debugging_mvcc_watcher_total", "Watches", store.hub.n_watchers() as u64),
        (
            "berth_metastore_index_entries",
            "Keys in the index, deleted ones that are not compacted included",
            committed.index.len() as u64,
        ),
    ]
}

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::memory::MemoryEngine;
    use crate::reserve::Boot;
    use crate::store::{Identity, Options};

    #[test]
    fn series_have_etcds_names() {
        let identity = Identity { cluster: 1, member: 1 };
        let options = Options { identity, recent_bytes: 1, boot: Boot::UNKNOWN };
        let store = Store::open(Arc::new(MemoryEngine::new()), &options).unwrap();
        store.metrics.appended(Some(Duration::from_millis(3)), 5);
        store.metrics.appended(None, 2);
        let page = page(&store);
        for line in [
            "etcd_server_has_leader 1",
            "etcd_server_proposals_committed_total 7",
            "berth_metastore_deferred_total 2",
            "etcd_debugging_mvcc_current_revision 1",
            "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.004\"} 1",
            "berth_metastore_group_transactions_bucket{le=\"4.0\"} 1",
        ] {
            assert!(page.lines().any(|one| one == line), "{line}\n{page}");
        }
    }
}
