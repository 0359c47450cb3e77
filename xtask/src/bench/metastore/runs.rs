//! What the generator found: rows of every run, and the median and the spread of a figure over the runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Machine;

#[derive(Debug, Deserialize)]
pub(super) struct Runs {
    settings: Value,
    rows: Vec<Found>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Found {
    workload: String,
    server: String,
    run: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
    #[serde(flatten)]
    figures: BTreeMap<String, f64>,
}

/// A figure over the runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Runs {
    pub(super) fn read(path: &Path) -> anyhow::Result<Runs> {
        let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds no rows", path.display()))
    }

    pub(super) fn to_json(&self, machine: &Machine) -> anyhow::Result<String> {
        let all = json!({ "machine": machine, "settings": self.settings, "rows": self.rows });
        Ok(serde_json::to_string_pretty(&all).context("encode the runs")? + "\n")
    }

    /// In the order in which they came.
    pub(super) fn workloads(&self) -> Vec<&str> {
        in_order(self.rows.iter().map(|row| row.workload.as_str()))
    }

    pub(super) fn servers(&self) -> Vec<&str> {
        in_order(self.rows.iter().map(|row| row.server.as_str()))
    }

    pub(super) fn spread(&self, workload: &str, server: &str, figure: &str) -> Option<Spread> {
        let of = self.of(workload, server).filter_map(|row| row.figures.get(figure).copied());
        let mut all: Vec<f64> = of.collect();
        all.sort_by(f64::total_cmp);
        let median = *all.get(all.len().checked_sub(1)? / 2)?;
        Some(Spread { low: *all.first()?, median, high: *all.last()? })
    }

    /// Why a server has no figures; of several runs, the first one's reason.
    pub(super) fn skipped(&self, workload: &str, server: &str) -> Option<&str> {
        self.of(workload, server).find_map(|row| row.skipped.as_deref())
    }

    fn of(&self, workload: &str, server: &str) -> impl Iterator<Item = &Found> {
        self.rows.iter().filter(move |row| row.workload == workload && row.server == server)
    }
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

#[cfg(test)]
pub(super) fn example() -> Runs {
    let row = |workload: &str, server: &str, run: u32, rate: f64, p99: f64| json!({"workload": workload, "server": server, "run": run, "txns_per_s": rate, "p99_ms": p99});
    let value = json!({"settings": {}, "rows": [
        row("create/1", "etcd", 1, 500.0, 20.0),
        row("create/1", "berth", 1, 900.0, 10.0),
        row("create/1", "etcd", 2, 400.0, 30.0),
        row("create/1", "berth", 2, 1000.0, 12.0),
        row("create/1", "etcd", 3, 450.0, 25.0),
        row("create/1", "berth", 3, 950.0, 11.0),
        {"workload": "list/stream", "server": "etcd", "run": 1, "list_p50_ms": 40.0},
        {"workload": "list/stream", "server": "berth", "run": 1, "skipped": "not implemented"},
    ]});
    serde_json::from_value(value).expect("runs")
}

#[cfg(test)]
mod tests {
    use super::{Spread, example};

    #[test]
    fn the_median_of_runs_with_its_spread() {
        let runs = example();
        assert_eq!(runs.workloads(), ["create/1", "list/stream"]);
        assert_eq!(runs.servers(), ["etcd", "berth"]);
        let spread = Spread { low: 400.0, median: 450.0, high: 500.0 };
        assert_eq!(runs.spread("create/1", "etcd", "txns_per_s"), Some(spread));
        assert_eq!(runs.spread("create/1", "kine", "txns_per_s"), None);
        assert_eq!(runs.skipped("list/stream", "berth"), Some("not implemented"));
        assert_eq!(runs.skipped("list/stream", "etcd"), None);
    }
}
