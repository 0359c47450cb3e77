//! What Berth's metastore is held to: a figure beside etcd's of the same run, beside a limit, or beside another figure of its own. Owns
//! the bars; what is shown of all that was measured is `table`'s.

use super::runs::Runs;
use crate::bench::row::{Bar, Row, Sense};

/// One bar.
struct Held {
    workload: &'static str,
    figure: &'static str,
    to: To,
    sense: Sense,
}

#[derive(Clone, Copy)]
enum To {
    /// So many times etcd's.
    Peer(f64),
    /// A number in the figure's own unit.
    Limit(f64),
    /// So many times another figure of Berth's in the same workload.
    Own(&'static str, f64),
}

use Sense::{Max, Min};
use To::{Limit, Own, Peer};

const HELD: [Held; 27] = [
    held("create/256", "txns_per_s", Peer(2.0), Min),
    held("update/256", "txns_per_s", Peer(2.0), Min),
    held("delete/256", "txns_per_s", Peer(2.0), Min),
    held("create/256", "p99_ms", Peer(1.0), Max),
    held("update/256", "p99_ms", Peer(1.0), Max),
    held("delete/256", "p99_ms", Peer(1.0), Max),
    held("create/256", "server_cpu_s_per_100k", Peer(0.5), Max),
    held("update/256", "server_cpu_s_per_100k", Peer(0.5), Max),
    held("delete/256", "server_cpu_s_per_100k", Peer(0.5), Max),
    held("create/1", "txns_per_s", Peer(1.0), Min),
    held("update/1", "txns_per_s", Peer(1.0), Min),
    held("delete/1", "txns_per_s", Peer(1.0), Min),
    held("list/pages", "list_p50_ms", Peer(0.2), Max),
    held("list/unary", "list_p50_ms", Peer(0.5), Max),
    held("list/stream", "list_p50_ms", Peer(0.5), Max),
    held("list/stream", "first_byte_p50_ms", Limit(20.0), Max),
    held("count", "p50_ms", Limit(0.1), Max),
    held("watch/1000", "p99_ms", Peer(0.2), Max),
    held("watch/5000", "delivered_ratio", Limit(1.0), Min),
    held("watch/5000", "p99_ms", Limit(1000.0), Max),
    held("history/72000", "rss_bytes", Peer(0.5), Max),
    held("load", "write_amplification", Limit(2.5), Max),
    held("history/72000", "write_amplification", Limit(2.5), Max),
    held("compaction/100000", "during_p99_ms", Own("quiet_p99_ms", 2.0), Max),
    held("list-storm/10", "peak_rss_bytes", Own("quiet_rss_bytes", 1.3), Max),
    held("restart/1000000", "range_max_ms", Limit(5000.0), Max),
    held("fleet/20000", "renewal_p99_ms", Peer(1.0), Max),
];

const fn held(workload: &'static str, figure: &'static str, to: To, sense: Sense) -> Held {
    Held { workload, figure, to, sense }
}

const OURS: &str = "berth";
const THEIRS: &str = "etcd";

/// One row for each bar whose figures were measured.
pub(super) fn rows(runs: &Runs) -> Vec<Row> {
    HELD.iter().filter_map(|held| row(runs, held)).collect()
}

fn row(runs: &Runs, held: &Held) -> Option<Row> {
    let median = |server, figure| Some(runs.spread(held.workload, server, figure)?.median);
    let ours = median(OURS, held.figure)?;
    let (beside, bar) = match held.to {
        Peer(times) => ((format!("{THEIRS}_{}", held.figure), median(THEIRS, held.figure)?), times),
        Limit(limit) => ((format!("limit_{}", held.figure), limit), 1.0),
        Own(figure, times) => ((format!("{OURS}_{figure}"), median(OURS, figure)?), times),
    };
    let ratio = ours / beside.1.max(f64::MIN_POSITIVE);
    let figures = [(format!("{OURS}_{}", held.figure), ours), beside];
    let figures: Vec<_> = figures.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let name = format!("{} {}", held.workload, held.figure);
    Some(Row::new(&name, &figures, Some(Bar { ratio, bar, sense: held.sense })))
}

#[cfg(test)]
mod tests {
    use super::super::runs::example;
    use super::rows;

    #[test]
    fn berth_is_held_to_etcd_where_both_were_measured() {
        let rows = rows(&example());
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        // Of the example's workloads the stream was not measured at Berth.
        assert_eq!(names, ["create/1 txns_per_s"]);
        let figures =
            [("berth_txns_per_s".to_owned(), 950.0), ("etcd_txns_per_s".to_owned(), 450.0)];
        assert_eq!(rows[0].figures, figures);
        assert!(rows[0].bar.is_some_and(|bar| bar.is_met() && bar.ratio > 2.0));
    }
}
