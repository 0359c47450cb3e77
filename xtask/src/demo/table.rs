//! The demo's two tables: what each manager did, and what was asked against what was measured.

use std::time::Duration;

use super::result::{DemoResult, Phase};
use crate::bench::row::{Bar, Row, Sense};

/// Who could dominate Berth.
const BASELINES: [&str; 4] = ["unmanaged", "k8s", "rule65", "static"];

/// One row per phase, with ratios against `unmanaged`.
pub(super) fn phases(result: &DemoResult) -> String {
    let mut rows = vec![
        [
            "phase",
            "service p50",
            "p99 in bursts",
            "p999",
            "better than unmanaged",
            "run-queue p99",
            "batch operations",
            "of unmanaged",
            "node busy",
            "recover p50",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    let unmanaged = result.phase("unmanaged");
    rows.extend(result.phases.iter().map(|phase| phase_row(phase, unmanaged)));
    render(&rows)
}

fn phase_row(phase: &Phase, unmanaged: Option<&Phase>) -> Vec<String> {
    let better = unmanaged.map(|it| ratio(it.burst.p99_us, phase.burst.p99_us));
    let of_unmanaged = unmanaged.map(|it| ratio(phase.batch_ops, it.batch_ops));
    let dash = || "-".to_owned();
    vec![
        phase.phase.clone(),
        ms(phase.burst.p50_us as f64 / 1e3),
        ms(phase.burst.p99_us as f64 / 1e3),
        ms(phase.burst.p999_us as f64 / 1e3),
        better.map_or_else(dash, |it| format!("{it:.1} x")),
        ms(phase.runq.p99_us as f64 / 1e3),
        phase.batch_ops.to_string(),
        of_unmanaged.map_or_else(dash, percent),
        percent(phase.node_cpu_util),
        median(&phase.recover_ms).map_or_else(dash, ms),
    ]
}

/// One row per bar that the phases that ran can answer.
pub(super) fn bars(result: &DemoResult, took: Option<Duration>) -> String {
    let mut rows = vec![["bar", "asked", "measured", "ok"].map(str::to_owned).to_vec()];
    rows.extend(met(result).into_iter().chain(took.map(duration)).map(|met| {
        let ok = verdict(met.bar.is_met()).to_owned();
        vec![met.name.to_owned(), met.asked.to_owned(), met.measured, ok]
    }));
    render(&rows)
}

/// The same for machines, as every benchmark has them.
pub(super) fn rows(result: &DemoResult) -> Vec<Row> {
    met(result).into_iter().map(|met| Row::new(met.name, &met.figures, Some(met.bar))).collect()
}

fn met(result: &DemoResult) -> Vec<Met> {
    let bars = [latency, aim, batch, dominated, rounds_against_k8s, suppression, rss];
    bars.into_iter().filter_map(|bar| bar(result)).collect()
}

/// One bar against its measurement.
struct Met {
    name: &'static str,
    asked: &'static str,
    measured: String,
    figures: Vec<(&'static str, f64)>,
    bar: Bar,
}

fn latency(result: &DemoResult) -> Option<Met> {
    let (berth, unmanaged) = (result.phase("berth")?, result.phase("unmanaged")?);
    let better = ratio(unmanaged.burst.p99_us, berth.burst.p99_us);
    Some(Met {
        name: "service p99 in bursts, against unmanaged",
        asked: ">= 5 x better",
        measured: format!("{better:.1} x"),
        figures: vec![
            ("p99_ms", berth.burst.p99_us as f64 / 1e3),
            ("unmanaged_p99_ms", unmanaged.burst.p99_us as f64 / 1e3),
        ],
        bar: Bar { ratio: better, bar: 5.0, sense: Sense::Min },
    })
}

fn aim(result: &DemoResult) -> Option<Met> {
    let (berth, alone) = (result.phase("berth")?, result.phase("alone")?);
    let times = ratio(berth.burst.p99_us, alone.burst.p99_us);
    Some(Met {
        name: "service p99 in bursts, against alone (aim)",
        asked: "<= 1.5 x",
        measured: format!("{times:.2} x"),
        figures: vec![
            ("p99_ms", berth.burst.p99_us as f64 / 1e3),
            ("alone_p99_ms", alone.burst.p99_us as f64 / 1e3),
        ],
        bar: Bar { ratio: times, bar: 1.5, sense: Sense::Max },
    })
}

fn batch(result: &DemoResult) -> Option<Met> {
    let (berth, unmanaged) = (result.phase("berth")?, result.phase("unmanaged")?);
    let share = ratio(berth.batch_ops, unmanaged.batch_ops);
    Some(Met {
        name: "batch rate, against unmanaged",
        asked: ">= 60 %",
        measured: percent(share),
        figures: vec![
            ("batch_ops", berth.batch_ops as f64),
            ("unmanaged_batch_ops", unmanaged.batch_ops as f64),
        ],
        bar: Bar { ratio: share, bar: 0.6, sense: Sense::Min },
    })
}

fn dominated(result: &DemoResult) -> Option<Met> {
    let berth = result.phase("berth")?;
    let better = |name: &&str| {
        result.phase(name).is_some_and(|it| {
            it.burst.p99_us < berth.burst.p99_us && it.batch_ops > berth.batch_ops
        })
    };
    let dominating: Vec<&str> = BASELINES.into_iter().filter(better).collect();
    let n_dominating = dominating.len() as f64;
    Some(Met {
        name: "baselines better on both p99 and batch",
        asked: "none",
        measured: if dominating.is_empty() { "none".to_owned() } else { dominating.join(", ") },
        figures: Vec::new(),
        bar: Bar { ratio: n_dominating, bar: 0.0, sense: Sense::Max },
    })
}

/// The nearest baseline, round by round: a figure over all rounds can hide that one decided it.
fn rounds_against_k8s(result: &DemoResult) -> Option<Met> {
    let (berth, k8s) = (&result.phase("berth")?.rounds, &result.phase("k8s")?.rounds);
    let pairs = || berth.iter().zip(k8s);
    let n_lower = pairs().filter(|(ours, theirs)| ours.p99_us < theirs.p99_us).count();
    let n_more = pairs().filter(|(ours, theirs)| ours.batch_ops > theirs.batch_ops).count();
    let n_worse = pairs()
        .filter(|(ours, theirs)| ours.p99_us > theirs.p99_us && ours.batch_ops < theirs.batch_ops)
        .count();
    let n_rounds = pairs().count();
    let most = n_rounds.saturating_sub(1) / 2;
    Some(Met {
        name: "rounds in which k8s was better on both",
        asked: "fewer than half",
        measured: format!("{n_worse} of {n_rounds} (lower p99 {n_lower}, more batch {n_more})"),
        figures: vec![
            ("rounds", n_rounds as f64),
            ("rounds_with_lower_p99", n_lower as f64),
            ("rounds_with_more_batch", n_more as f64),
        ],
        bar: Bar { ratio: n_worse as f64, bar: most as f64, sense: Sense::Max },
    })
}

fn suppression(result: &DemoResult) -> Option<Met> {
    let p99 = result.key("suppress_ms_p99")?;
    let events = result.key("suppress_events")?;
    Some(Met {
        name: "suppression p99, first long wait to last read-back",
        asked: "< 100 ms",
        measured: format!("{} over {events:.0} events", ms(p99)),
        figures: vec![("p99_ms", p99), ("events", events)],
        bar: Bar::within(p99, 100.0),
    })
}

fn rss(result: &DemoResult) -> Option<Met> {
    let bytes = result.key("agent_rss_bytes")?;
    Some(Met {
        name: "agent's resident memory",
        asked: "< 30 MB",
        measured: format!("{:.1} MB", bytes / 1e6),
        figures: vec![("rss_bytes", bytes)],
        bar: Bar::within(bytes, 30e6),
    })
}

fn duration(took: Duration) -> Met {
    let minutes = took.as_secs_f64() / 60.0;
    Met {
        name: "this command, warm",
        asked: "< 4 min",
        measured: format!("{minutes:.1} min"),
        figures: vec![("minutes", minutes)],
        bar: Bar::within(minutes, 4.0),
    }
}

const fn verdict(ok: bool) -> &'static str {
    if ok { "yes" } else { "NO" }
}

fn ratio(above: u64, below: u64) -> f64 {
    above as f64 / below.max(1) as f64
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn ms(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// Columns as wide as their widest cell; the first row is the heading.
pub(crate) fn render(rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..n_columns).filter_map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(n, (cell, width))| match n {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut lines = rows.iter().map(line);
    let heading = lines.next().unwrap_or_default();
    let rule = "-".repeat(heading.trim_end().chars().count());
    heading + &rule + "\n" + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["name", "n"], ["a", "100"], ["long name", "7"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|&cell| cell.to_owned()).collect()).collect();
        let text = render(&rows);
        assert_eq!(text, "name         n\n--------------\na          100\nlong name    7\n");
        assert_eq!(render(&[]), "\n");
    }

    /// p99 in milliseconds and operations of one round per phase.
    fn result(phases: &[(&str, u64, u64)]) -> DemoResult {
        let phase = |(name, p99_ms, batch_ops): &(&str, u64, u64)| {
            let quantiles = serde_json::json!({
                "n_requests": 1, "p50_us": 1, "p99_us": p99_ms * 1000, "p999_us": 1
            });
            serde_json::json!({
                "phase": name, "burst": quantiles, "runq": quantiles, "batch_ops": batch_ops,
                "node_cpu_util": 1.0, "recover_ms": [],
                "rounds": [{"p99_us": p99_ms * 1000, "batch_ops": batch_ops}],
                "series": {
                    "bin_ms": 100, "service_p99_us": [], "batch_ops": [], "limits": [],
                    "burst_starts_ms": [], "burst_ms": 1, "suppressions": []
                }
            })
        };
        let phases: Vec<_> = phases.iter().map(phase).collect();
        let text = serde_json::json!({
            "machine": {}, "keys": {"agent_rss_bytes": 15e6}, "phases": phases, "sweep": [], "notes": []
        });
        serde_json::from_value(text).expect("a result")
    }

    #[track_caller]
    fn check_bar(phases: &[(&str, u64, u64)], row: &str, (value, met): (f64, bool)) {
        let rows = rows(&result(phases));
        let bar = rows.iter().find(|it| it.name.starts_with(row)).and_then(|it| it.bar);
        let bar = bar.unwrap_or_else(|| panic!("no bar {row}"));
        assert!((bar.ratio - value).abs() < 1e-9, "{bar:?}");
        assert_eq!(bar.is_met(), met, "{bar:?}");
    }

    #[test]
    fn bars_are_rows_with_ratio_and_sense() {
        let good = [("alone", 6, 0), ("unmanaged", 6000, 100), ("k8s", 9, 85), ("berth", 8, 80)];
        check_bar(&good, "service p99 in bursts, against unmanaged", (750.0, true));
        check_bar(&good, "service p99 in bursts, against alone", (8.0 / 6.0, true));
        check_bar(&good, "batch rate", (0.8, true));
        check_bar(&good, "baselines better", (0.0, true));
        check_bar(&good, "rounds in which k8s", (0.0, true));
        check_bar(&good, "agent's resident memory", (0.5, true));
        let bad = [("alone", 6, 0), ("unmanaged", 30, 100), ("k8s", 9, 85), ("berth", 10, 50)];
        check_bar(&bad, "service p99 in bursts, against unmanaged", (3.0, false));
        check_bar(&bad, "service p99 in bursts, against alone", (10.0 / 6.0, false));
        check_bar(&bad, "batch rate", (0.5, false));
        check_bar(&bad, "baselines better", (1.0, false));
        check_bar(&bad, "rounds in which k8s", (1.0, false));
        let row = rows(&result(&good)).remove(0).to_json();
        assert_eq!((&row["bar"], &row["sense"]), (&5.0.into(), &"min".into()));
    }

    #[test]
    fn median_of_an_even_number_is_the_lower_one() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.0));
        assert_eq!(median(&[5.0]), Some(5.0));
        assert_eq!(median(&[]), None);
    }
}
