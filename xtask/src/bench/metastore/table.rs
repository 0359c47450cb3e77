//! The servers side by side: a table for people, and rows of which each holds Berth to etcd.

use std::fmt::Write as _;

use super::runs::{Runs, Spread};
use crate::bench::figure;
use crate::bench::row::{Bar, Row, Sense};

/// What is shown of a kind of workload, the figure that decides first. All others are in the file of the runs.
type Chief = (&'static str, &'static [(&'static str, Sense)]);

const WRITES: &[(&str, Sense)] = &[
    ("txns_per_s", Sense::Min),
    ("p50_ms", Sense::Max),
    ("p99_ms", Sense::Max),
    ("p999_ms", Sense::Max),
    ("max_ms", Sense::Max),
    ("server_cpu_s_per_100k", Sense::Max),
    ("generator_cpu_s_per_100k", Sense::Max),
];
const STORED: &[(&str, Sense)] = &[
    ("rss_bytes", Sense::Max),
    ("txns_per_s", Sense::Min),
    ("disk_bytes", Sense::Max),
    ("write_amplification", Sense::Max),
];
const LIST: &[(&str, Sense)] = &[
    ("list_p50_ms", Sense::Max),
    ("first_byte_p50_ms", Sense::Max),
    ("first_object_p50_ms", Sense::Max),
    ("rss_bytes", Sense::Max),
    ("peak_rss_bytes", Sense::Max),
    ("server_cpu_s_per_list", Sense::Max),
];
/// A name stands for all workloads that begin with it.
const CHIEFS: [Chief; 11] = [
    ("create", WRITES),
    ("update", WRITES),
    ("delete", WRITES),
    ("load", STORED),
    ("history", STORED),
    ("count", &[("p50_ms", Sense::Max), ("p99_ms", Sense::Max)]),
    ("list/", LIST),
    (
        "watch",
        &[
            ("p99_ms", Sense::Max),
            ("p50_ms", Sense::Max),
            ("delivered_ratio", Sense::Min),
            ("puts_per_s", Sense::Min),
            ("events_per_s", Sense::Min),
            ("server_cpu_s_per_100k", Sense::Max),
            ("peak_rss_bytes", Sense::Max),
        ],
    ),
    (
        "restart",
        &[("range_p50_ms", Sense::Max), ("range_max_ms", Sense::Max), ("lost_writes", Sense::Max)],
    ),
    (
        "compaction",
        &[
            ("during_p99_ms", Sense::Max),
            ("quiet_p99_ms", Sense::Max),
            ("after_p99_ms", Sense::Max),
            ("compact_ms", Sense::Max),
            ("after_rss_bytes", Sense::Max),
        ],
    ),
    (
        "list-storm",
        &[
            ("added_rss_bytes", Sense::Max),
            ("quiet_rss_bytes", Sense::Max),
            ("peak_rss_bytes", Sense::Max),
            ("took_ms", Sense::Max),
            ("first_byte_p50_ms", Sense::Max),
        ],
    ),
];

fn chiefs(workload: &str) -> &'static [(&'static str, Sense)] {
    CHIEFS.iter().find(|(name, _)| workload.starts_with(name)).map_or(&[], |(_, chiefs)| chiefs)
}

const OURS: &str = "berth";
const THEIRS: &str = "etcd";

/// One row per workload: its deciding figure at every server; where both were measured, Berth no worse than etcd.
pub(super) fn rows(runs: &Runs) -> Vec<Row> {
    let row = |workload: &&str| {
        let (figure, sense) = *chiefs(workload).first()?;
        let median = |server: &str| Some(runs.spread(workload, server, figure)?.median);
        let servers = runs.servers();
        let figures: Vec<_> = servers
            .iter()
            .filter_map(|server| Some((format!("{server}_{figure}"), median(server)?)))
            .collect();
        let figures: Vec<_> = figures.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let bar =
            median(OURS).zip(median(THEIRS)).map(|(ours, theirs)| against(ours, theirs, sense));
        Some(Row::new(workload, &figures, bar))
    };
    runs.workloads().iter().filter_map(row).collect()
}

fn against(ours: f64, theirs: f64, sense: Sense) -> Bar {
    Bar { ratio: ours / theirs.max(f64::MIN_POSITIVE), bar: 1.0, sense }
}

/// Medians with the lowest and the highest run behind them.
pub(super) fn markdown(runs: &Runs) -> String {
    let servers = runs.servers();
    let mut out = format!("| workload | figure | {} |\n", servers.join(" | "));
    let _ = writeln!(out, "|---|---|{}", "---|".repeat(servers.len()));
    for workload in runs.workloads() {
        for (figure, _) in chiefs(workload) {
            let cells: Vec<_> =
                servers.iter().map(|it| cell(runs.spread(workload, it, figure), figure)).collect();
            if cells.iter().any(|cell| cell != NOTHING) {
                let _ = writeln!(out, "| {workload} | {figure} | {} |", cells.join(" | "));
            }
        }
        for server in &servers {
            if let Some(why) = runs.skipped(workload, server) {
                let why = why.replace(['\n', '|'], " ");
                let _ = writeln!(out, "| {workload} | {server} has none | {why} |");
            }
        }
    }
    out
}

const NOTHING: &str = "-";

fn cell(spread: Option<Spread>, figure: &str) -> String {
    let Some(Spread { low, median, high }) = spread else { return NOTHING.to_owned() };
    let shown = |value| figure::shown(unit(figure), value);
    if low == high {
        return shown(median);
    }
    format!("{} ({} to {})", shown(median), shown(low), shown(high))
}

/// The end of a figure's name that is its unit, so that only the value is shown.
fn unit(figure: &str) -> &str {
    let units = ["_ms", "_bytes", "_ratio", "_util"];
    units.into_iter().find(|unit| figure.ends_with(unit)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::runs::example;
    use super::{markdown, rows};

    #[test]
    fn the_servers_side_by_side() {
        expect![[r#"
            | workload | figure | etcd | berth |
            |---|---|---|---|
            | create/1 | txns_per_s | 450 (400 to 500) | 950 (900 to 1000) |
            | create/1 | p99_ms | 25.0 ms (20.0 ms to 30.0 ms) | 11.0 ms (10.0 ms to 12.0 ms) |
            | list/stream | list_p50_ms | 40.0 ms | - |
            | list/stream | berth has none | not implemented |
        "#]]
        .assert_eq(&markdown(&example()));
    }

    #[test]
    fn berth_is_held_to_etcd_where_both_were_measured() {
        let rows = rows(&example());
        let figures = |idx: usize| rows[idx].figures.clone();
        assert_eq!(
            figures(0),
            [("etcd_txns_per_s".to_owned(), 450.0), ("berth_txns_per_s".to_owned(), 950.0)]
        );
        assert!(rows[0].bar.is_some_and(|bar| bar.is_met() && bar.ratio > 2.0));
        assert_eq!(figures(1), [("etcd_list_p50_ms".to_owned(), 40.0)]);
        assert_eq!(rows[1].bar, None);
    }
}
