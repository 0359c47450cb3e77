//! `demo.json` as it comes from the guest, and what the host adds to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::build::Native;
use super::table;
use crate::bench::row::Row;

/// Other work on the host above this makes latencies of the guest doubtful: it has no CPU to spare.
const NOISE_LIMIT: f64 = 0.05;

#[derive(Debug, Deserialize)]
pub(super) struct DemoResult {
    pub(super) machine: BTreeMap<String, String>,
    /// One number per key; the keys are a contract.
    pub(super) keys: BTreeMap<String, f64>,
    pub(super) phases: Vec<Phase>,
    pub(super) sweep: Vec<SweepRow>,
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Phase {
    pub(super) phase: String,
    pub(super) burst: Quantiles,
    pub(super) runq: Quantiles,
    pub(super) batch_ops: u64,
    pub(super) node_cpu_util: f64,
    pub(super) recover_ms: Vec<f64>,
    /// Each round for itself, in order.
    pub(super) rounds: Vec<Round>,
    pub(super) series: Series,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Round {
    pub(super) p99_us: u64,
    pub(super) batch_ops: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Quantiles {
    pub(super) n_requests: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) p999_us: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Series {
    pub(super) bin_ms: u64,
    pub(super) service_p99_us: Vec<u64>,
    pub(super) batch_ops: Vec<u64>,
    pub(super) limits: Vec<Limit>,
    pub(super) burst_starts_ms: Vec<u64>,
    pub(super) burst_ms: u64,
    pub(super) suppressions: Vec<Suppression>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Limit {
    pub(super) at_ms: i64,
    pub(super) batch_cpus: f64,
    pub(super) idle: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Suppression {
    pub(super) at_ms: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct SweepRow {
    pub(super) name: String,
    pub(super) service_p99_us: u64,
    pub(super) batch_ops: u64,
}

impl Phase {
    fn row(&self) -> Row {
        let figures = [
            ("p50_ms", self.burst.p50_us as f64 / 1e3),
            ("p99_ms", self.burst.p99_us as f64 / 1e3),
            ("p999_ms", self.burst.p999_us as f64 / 1e3),
            ("runq_p99_ms", self.runq.p99_us as f64 / 1e3),
            ("events", self.burst.n_requests as f64),
            ("batch_ops", self.batch_ops as f64),
            ("node_cpu_util", self.node_cpu_util),
        ];
        Row::new(&self.phase, &figures, None)
    }

    /// The row with what was seen burst by burst and round by round.
    fn record(&self) -> Value {
        let mut row = self.row().to_json();
        let p99 = self.rounds.iter().map(|it| it.p99_us as f64 / 1000.0);
        let operations = self.rounds.iter().map(|it| it.batch_ops);
        row["recover_ms"] = json!(self.recover_ms);
        row["rounds_p99_ms"] = json!(p99.collect::<Vec<_>>());
        row["rounds_batch_ops"] = json!(operations.collect::<Vec<_>>());
        row
    }
}

impl DemoResult {
    pub(super) fn read(path: &Path) -> anyhow::Result<DemoResult> {
        let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no result", path.display()))
    }

    pub(super) fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.phase == name)
    }

    pub(super) fn key(&self, name: &str) -> Option<f64> {
        self.keys.get(name).copied()
    }

    pub(super) fn add_emulator_factor(&mut self, native: Native) {
        let guest =
            self.machine.get("agent_like_rounds_per_s").and_then(|it| it.parse::<f64>().ok());
        if let Some(guest) = guest {
            let factor = native.agent_like_rounds_per_s / guest.max(1.0);
            self.keys.insert("emulator_factor".to_owned(), factor);
        }
    }

    pub(super) fn add_noise(&mut self, other_work: f64) {
        self.machine.insert("host_other_work_ratio".to_owned(), format!("{other_work:.3}"));
        if other_work > NOISE_LIMIT {
            self.notes.push(format!(
                "other work took {:.0} % of the host while the guest ran: latencies are too high, \
                 in phases it happened to hit most",
                other_work * 100.0
            ));
        }
    }

    /// What `--record` keeps: figures without the raw series, and the bars as rows of their own.
    pub(super) fn record(&self) -> Value {
        let phases = self.phases.iter().map(Phase::record);
        let bars = table::rows(self).into_iter().map(|row| row.to_json());
        let sweep = |row: &SweepRow| json!({"name": row.name, "p99_ms": row.service_p99_us as f64 / 1000.0, "batch_ops": row.batch_ops});
        json!({
            "machine": self.machine,
            "rows": phases.chain(bars).collect::<Vec<_>>(),
            "keys": self.keys,
            "static_sweep": self.sweep.iter().map(sweep).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}
