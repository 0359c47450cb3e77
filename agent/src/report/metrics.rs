//! What the sender counts, per endpoint. Owns the names below the registry it is given; numbers are changed by the
//! endpoint's task.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    endpoint: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    endpoint: String,
    why: &'static str,
}

/// Handles of every metric.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    sent: Family<Kind, Counter>,
    bytes: Family<Endpoint, Counter>,
    acknowledged: Family<Endpoint, Counter>,
    dropped: Family<Endpoint, Counter>,
    connected: Family<Endpoint, Gauge>,
    ended: Family<Why, Counter>,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let m = &metrics;
        registry.register("reports_sent", "Reports sent, in full or as a delta", m.sent.clone());
        let about = "Reports as encoded";
        registry.register_with_unit("reports", about, Unit::Bytes, m.bytes.clone());
        let about = "Reports that the endpoint took";
        registry.register("reports_acknowledged", about, m.acknowledged.clone());
        let about = "Reports that were due and not sent, because the endpoint was slow or away";
        registry.register("reports_dropped", about, m.dropped.clone());
        let about = "1 while a stream to the endpoint is open";
        registry.register("report_connected", about, m.connected.clone());
        let about = "Streams and tries that ended, by what went wrong";
        registry.register("report_streams_ended", about, m.ended.clone());
        metrics
    }

    pub(super) fn of(&self, endpoint: &str) -> EndpointMetrics {
        let label = Endpoint { endpoint: endpoint.to_owned() };
        // Those that are zero are there from the start.
        self.connected.get_or_create(&label).set(0);
        drop(self.dropped.get_or_create(&label));
        EndpointMetrics { all: self.clone(), label }
    }
}

/// Those of one endpoint.
#[derive(Debug)]
pub(super) struct EndpointMetrics {
    all: Metrics,
    label: Endpoint,
}

impl EndpointMetrics {
    pub(super) fn sent(&self, is_full: bool, n_bytes: usize) {
        let kind = if is_full { "full" } else { "delta" };
        let endpoint = self.label.endpoint.clone();
        self.all.sent.get_or_create(&Kind { endpoint, kind }).inc();
        self.all.bytes.get_or_create(&self.label).inc_by(n_bytes as u64);
    }

    pub(super) fn acknowledged(&self) {
        self.all.acknowledged.get_or_create(&self.label).inc();
    }

    pub(super) fn dropped(&self, n_reports: u64) {
        self.all.dropped.get_or_create(&self.label).inc_by(n_reports);
    }

    pub(super) fn connected(&self) {
        self.all.connected.get_or_create(&self.label).set(1);
    }

    pub(super) fn ended(&self, why: &'static str) {
        self.all.connected.get_or_create(&self.label).set(0);
        let endpoint = self.label.endpoint.clone();
        self.all.ended.get_or_create(&Why { endpoint, why }).inc();
    }
}
