//! What is counted of nodes that report into the store. Owns the names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    writes: Counter,
    written_bytes: Counter,
    keeps: Counter,
}

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let about = "Keys of nodes that were written";
        registry.register("node_writes", about, metrics.writes.clone());
        let about = "Bytes of their values";
        registry.register("node_written_bytes", about, metrics.written_bytes.clone());
        let about = "Reports that prolonged the lease of their node";
        registry.register("node_lease_keeps", about, metrics.keeps.clone());
        metrics
    }

    pub(super) fn wrote(&self, n_bytes: usize) {
        self.writes.inc();
        self.written_bytes.inc_by(n_bytes as u64);
    }

    pub(super) fn kept_alive(&self) {
        self.keeps.inc();
    }
}
