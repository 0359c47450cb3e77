//! What a workload found: figures by name, or why there are none. A row is an entry with the server and the run it is of.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::latency::Latencies;

/// The unit is in the name: `p99_ms`, `rss_bytes`, `txns_per_s`.
pub(crate) type Figures = BTreeMap<String, f64>;

/// One workload on one server in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) server: String,
    /// Counts from 1.
    pub(crate) run: u32,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// Why the figures are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    workload: String,
    figures: Figures,
    skipped: Option<String>,
}

impl Entry {
    pub(crate) fn new(workload: impl Into<String>) -> Entry {
        Entry { workload: workload.into(), figures: Figures::new(), skipped: None }
    }

    pub(crate) fn skipped(workload: impl Into<String>, why: impl Into<String>) -> Entry {
        Entry { skipped: Some(why.into()), ..Entry::new(workload) }
    }

    pub(crate) fn named(self, workload: impl Into<String>) -> Entry {
        Entry { workload: workload.into(), ..self }
    }

    pub(crate) fn with(mut self, name: impl Into<String>, value: f64) -> Entry {
        self.figures.insert(name.into(), value);
        self
    }

    /// The quantiles; with a prefix where there are several kinds of them.
    pub(crate) fn latencies(mut self, prefix: &str, latencies: Latencies) -> Entry {
        for (name, value) in latencies.figures() {
            self.figures.insert(format!("{prefix}{name}"), value);
        }
        self
    }

    pub(crate) fn of(self, server: &str, run: u32) -> Row {
        let Entry { workload, figures, skipped } = self;
        Row { workload, server: server.to_owned(), run, figures, skipped }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{json, to_value};

    use super::{Entry, Latencies};

    #[test]
    fn a_row_says_its_figures_or_why_there_are_none() {
        let mut one = Latencies::default();
        one.record(Duration::from_millis(2));
        let row = Entry::new("count").with("objects", 5.0).latencies("quiet_", one).of("etcd", 1);
        let expected = json!({"workload": "count", "server": "etcd", "run": 1, "objects": 5.0,
            "quiet_p50_ms": 2.0, "quiet_p99_ms": 2.0, "quiet_p999_ms": 2.0, "quiet_max_ms": 2.0});
        assert_eq!(to_value(row).unwrap(), expected);
        let row = Entry::skipped("list/stream", "Unimplemented").of("kine", 2);
        let expected = json!({"workload": "list/stream", "server": "kine", "run": 2, "skipped": "Unimplemented"});
        assert_eq!(to_value(row).unwrap(), expected);
    }
}
