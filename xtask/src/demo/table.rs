//! The demo's two tables: what each manager did, and what was asked against what was measured.

use std::time::Duration;

use super::result::{DemoResult, Phase};

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
    let bars = [
        latency(result),
        aim(result),
        batch(result),
        dominated(result),
        rounds_against_k8s(result),
    ];
    let costs = [suppression(result), rss(result), took.map(duration)];
    rows.extend(bars.into_iter().chain(costs).flatten().map(|bar| {
        vec![bar.name.to_owned(), bar.asked.to_owned(), bar.measured, verdict(bar.ok).to_owned()]
    }));
    render(&rows)
}

/// One bar against its measurement.
struct Bar {
    name: &'static str,
    asked: &'static str,
    measured: String,
    ok: bool,
}

fn latency(result: &DemoResult) -> Option<Bar> {
    let better =
        ratio(result.phase("unmanaged")?.burst.p99_us, result.phase("berth")?.burst.p99_us);
    Some(Bar {
        name: "service p99 in bursts, against unmanaged",
        asked: ">= 5 x better",
        measured: format!("{better:.1} x"),
        ok: better >= 5.0,
    })
}

fn aim(result: &DemoResult) -> Option<Bar> {
    let times = ratio(result.phase("berth")?.burst.p99_us, result.phase("alone")?.burst.p99_us);
    Some(Bar {
        name: "service p99 in bursts, against alone (aim)",
        asked: "<= 1.5 x",
        measured: format!("{times:.2} x"),
        ok: times <= 1.5,
    })
}

fn batch(result: &DemoResult) -> Option<Bar> {
    let share = ratio(result.phase("berth")?.batch_ops, result.phase("unmanaged")?.batch_ops);
    Some(Bar {
        name: "batch rate, against unmanaged",
        asked: ">= 60 %",
        measured: percent(share),
        ok: share >= 0.6,
    })
}

fn dominated(result: &DemoResult) -> Option<Bar> {
    let berth = result.phase("berth")?;
    let better = |name: &&str| {
        result.phase(name).is_some_and(|it| {
            it.burst.p99_us < berth.burst.p99_us && it.batch_ops > berth.batch_ops
        })
    };
    let dominating: Vec<&str> = BASELINES.into_iter().filter(better).collect();
    Some(Bar {
        name: "baselines better on both p99 and batch",
        asked: "none",
        measured: if dominating.is_empty() { "none".to_owned() } else { dominating.join(", ") },
        ok: dominating.is_empty(),
    })
}

/// The nearest baseline, round by round: a figure over all rounds can hide that one decided it.
fn rounds_against_k8s(result: &DemoResult) -> Option<Bar> {
    let (berth, k8s) = (&result.phase("berth")?.rounds, &result.phase("k8s")?.rounds);
    let pairs = || berth.iter().zip(k8s);
    let n_lower = pairs().filter(|(ours, theirs)| ours.p99_us < theirs.p99_us).count();
    let n_more = pairs().filter(|(ours, theirs)| ours.batch_ops > theirs.batch_ops).count();
    let n_worse = pairs()
        .filter(|(ours, theirs)| ours.p99_us > theirs.p99_us && ours.batch_ops < theirs.batch_ops)
        .count();
    let n_rounds = pairs().count();
    Some(Bar {
        name: "rounds in which k8s was better on both",
        asked: "fewer than half",
        measured: format!("{n_worse} of {n_rounds} (lower p99 {n_lower}, more batch {n_more})"),
        ok: n_worse * 2 < n_rounds,
    })
}

fn suppression(result: &DemoResult) -> Option<Bar> {
    let p99 = result.key("suppress_ms_p99")?;
    let events = result.key("suppress_events")?;
    Some(Bar {
        name: "suppression p99, first long wait to last read-back",
        asked: "< 100 ms",
        measured: format!("{} over {events:.0} events", ms(p99)),
        ok: p99 < 100.0,
    })
}

fn rss(result: &DemoResult) -> Option<Bar> {
    let mb = result.key("agent_rss_bytes")? / 1e6;
    Some(Bar {
        name: "agent's resident memory",
        asked: "< 30 MB",
        measured: format!("{mb:.1} MB"),
        ok: mb < 30.0,
    })
}

fn duration(took: Duration) -> Bar {
    let minutes = took.as_secs_f64() / 60.0;
    Bar {
        name: "this command, warm",
        asked: "< 4 min",
        measured: format!("{minutes:.1} min"),
        ok: minutes < 4.0,
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

    #[test]
    fn median_of_an_even_number_is_the_lower_one() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.0));
        assert_eq!(median(&[5.0]), Some(5.0));
        assert_eq!(median(&[]), None);
    }
}
