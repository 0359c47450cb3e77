//! What an intake counts. Owns the names below the registry it is given; numbers are changed by their owners.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::intake::{Answer, Intake};
use super::limits::Refusal;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AnswerLabel {
    answer: &'static str,
}

/// Shared by the keeper and the registry.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    reports: Family<AnswerLabel, Counter>,
    nodes: Gauge,
    state: Gauge,
    expired: Counter,
    publishes: Counter,
    publishing: Counter<f64, AtomicU64>,
}

impl Metrics {
    pub(super) fn registered(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let m = &metrics;
        registry.register("reports", "Reports by what was answered", m.reports.clone());
        registry.register("nodes", "Nodes in the table", m.nodes.clone());
        let about = "States of all nodes, as encoded";
        registry.register_with_unit("state", about, Unit::Bytes, m.state.clone());
        registry.register("nodes_expired", "Nodes forgotten after silence", m.expired.clone());
        registry.register("publishes", "Tables that were published", m.publishes.clone());
        let about = "Time that took";
        registry.register_with_unit("publishing", about, Unit::Seconds, m.publishing.clone());
        metrics
    }

    pub(super) fn answered(&self, answer: &Result<Answer, Refusal>) {
        let answer = match answer {
            Ok(Answer::Accepted { .. }) => "accepted",
            Ok(Answer::Repeated { .. }) => "repeated",
            Ok(Answer::FullWanted { .. }) => "full_wanted",
            Err(_) => "refused",
        };
        self.reports.get_or_create(&AnswerLabel { answer }).inc();
    }

    pub(super) fn expired(&self, n_nodes: usize) {
        self.expired.inc_by(n_nodes as u64);
    }

    pub(super) fn published(&self, intake: &Intake, took: std::time::Duration) {
        self.nodes.set(i64::try_from(intake.n_nodes()).unwrap_or(i64::MAX));
        self.state.set(i64::try_from(intake.n_bytes()).unwrap_or(i64::MAX));
        self.publishes.inc();
        self.publishing.inc_by(took.as_secs_f64());
    }
}
