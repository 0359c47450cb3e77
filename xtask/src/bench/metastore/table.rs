//! The servers side by side: a table for people of all that was measured.

use std::fmt::Write as _;

use super::runs::{Runs, Spread};
use crate::bench::figure;

/// What is shown of a kind of workload. All others are in the file of the runs.
type Chief = (&'static str, &'static [&'static str]);

const WRITES: &[&str] = &[
    "txns_per_s",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "max_ms",
    "server_cpu_s_per_100k",
    "generator_cpu_s_per_100k",
];
const STORED: &[&str] = &["rss_bytes", "txns_per_s", "disk_bytes", "write_amplification"];
const LIST: &[&str] = &[
    "list_p50_ms",
    "first_byte_p50_ms",
    "first_object_p50_ms",
    "rss_bytes",
    "peak_rss_bytes",
    "server_cpu_s_per_list",
];
/// A name stands for all workloads that begin with it.
const CHIEFS: [Chief; 12] = [
    ("create", WRITES),
    ("update", WRITES),
    ("delete", WRITES),
    ("load", STORED),
    ("history", STORED),
    ("count", &["p50_ms", "p99_ms", "way_p50_ms"]),
    ("list/", LIST),
    (
        "fleet",
        &[
            "renewal_p99_ms",
            "renewals_per_s",
            "renewal_p50_ms",
            "rss_bytes",
            "peak_rss_bytes",
            "server_cpu_util",
        ],
    ),
    (
        "watch",
        &[
            "p99_ms",
            "p50_ms",
            "delivered_ratio",
            "puts_per_s",
            "events_per_s",
            "server_cpu_s_per_100k",
            "peak_rss_bytes",
        ],
    ),
    ("restart", &["range_p50_ms", "range_max_ms", "lost_writes"]),
    (
        "compaction",
        &["during_p99_ms", "quiet_p99_ms", "after_p99_ms", "compact_ms", "after_rss_bytes"],
    ),
    (
        "list-storm",
        &["added_rss_bytes", "quiet_rss_bytes", "peak_rss_bytes", "took_ms", "first_byte_p50_ms"],
    ),
];

fn chiefs(workload: &str) -> &'static [&'static str] {
    CHIEFS.iter().find(|(name, _)| workload.starts_with(name)).map_or(&[], |(_, chiefs)| chiefs)
}

/// Medians with the lowest and the highest run behind them.
pub(super) fn markdown(runs: &Runs) -> String {
    let servers = runs.servers();
    let mut out = format!("| workload | figure | {} |\n", servers.join(" | "));
    let _ = writeln!(out, "|---|---|{}", "---|".repeat(servers.len()));
    for workload in runs.workloads() {
        for figure in chiefs(workload) {
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
    use super::markdown;

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
}
