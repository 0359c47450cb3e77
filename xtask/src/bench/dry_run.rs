//! `bench dry-run`: runs the agent's own measuring example on this machine and holds it to the bar.

use serde::Deserialize;

use super::row::{Bar, Row};
use super::{Machine, example};

const LATENCY_MS: f64 = 5.0;
const EVENTS: f64 = 200.0;

#[derive(Deserialize)]
struct Measured {
    name: String,
    events: f64,
    /// Bursts of the load that began one of them.
    of_bursts: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// From the agent's decision on.
    after_decision_p99_ms: f64,
    node_cpu_util: f64,
}

pub(super) fn run(_machine: &mut Machine) -> anyhow::Result<Vec<Row>> {
    Ok(example::rows("agent", "dry_run")?.iter().flat_map(rows).collect())
}

/// The latency and, since a quantile of a few events says nothing, how many there were.
fn rows(it: &Measured) -> [Row; 2] {
    let figures = [
        ("p50_ms", it.p50_ms),
        ("p99_ms", it.p99_ms),
        ("max_ms", it.max_ms),
        ("after_decision_p99_ms", it.after_decision_p99_ms),
        ("events", it.events),
        ("of_bursts", it.of_bursts),
        ("node_cpu_util", it.node_cpu_util),
    ];
    let events = Bar::reaches(it.events, EVENTS);
    [
        Row::new(&it.name, &figures, Some(Bar::within(it.p99_ms, LATENCY_MS))),
        Row::new("events", &[("events", it.events)], Some(events)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_events_miss_their_own_bar() {
        let seen = Measured {
            name: "x".to_owned(),
            events: 199.0,
            of_bursts: 3.0,
            p50_ms: 0.3,
            p99_ms: 4.0,
            max_ms: 9.0,
            after_decision_p99_ms: 0.2,
            node_cpu_util: 1.0,
        };
        let met = rows(&seen).map(|row| row.bar.is_some_and(Bar::is_met));
        assert_eq!(met, [true, false]);
    }
}
