//! Label sets and units that the rooms share. Each set is bounded: by the rules there are, the pools
//! and workloads of the node, or fixed words.

use std::sync::atomic::AtomicU64;

use model::Nanos;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

pub(super) type Ratio = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Rule {
    pub(super) rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Pool {
    pub(super) pool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Numa {
    pub(super) numa_node: u32,
}

/// One sentence, which does not change while the agent runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Why {
    pub(super) why: String,
}

/// A number that may be missing: without labels, and without a series where it is not known.
pub(super) type Maybe = Family<NoLabel, Ratio>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct NoLabel;

impl EncodeLabelSet for NoLabel {
    fn encode(&self, _: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        Ok(())
    }
}

/// Missing is never zero.
pub(super) fn set_or_clear(metric: &Maybe, value: Option<f64>) {
    match value {
        Some(value) => {
            metric.get_or_create(&NoLabel).set(value);
        }
        None => metric.clear(),
    }
}

pub(super) fn seconds(nanos: Nanos) -> f64 {
    nanos.0 as f64 / 1e9
}

pub(super) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
