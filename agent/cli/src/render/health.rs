//! `berth health`: does the agent's loop turn?

use std::fmt;

use proto::v1;
use serde::Serialize;

/// The agent's `/healthz` goes by the same age.
const STUCK_AFTER_NS: u64 = 30_000_000_000;

/// When the loop last turned, on the agent's own clock.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    pub(crate) ok: bool,
    turned_ns_ago: u64,
}

impl Health {
    pub(crate) fn of(snapshot: &v1::Snapshot) -> Health {
        let turned_ns_ago = snapshot.now_mono_ns.saturating_sub(snapshot.at_mono_ns);
        Health { ok: turned_ns_ago <= STUCK_AFTER_NS, turned_ns_ago }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.ok { "ok" } else { "stuck" };
        writeln!(f, "{word}: the loop last turned {:.1} s ago", self.turned_ns_ago as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use proto::v1;

    use super::Health;

    #[track_caller]
    fn check(at_s: u64, now_s: u64, expected: &str) {
        let at_ns = |seconds: u64| seconds * 1_000_000_000;
        let snapshot = v1::Snapshot {
            at_mono_ns: at_ns(at_s),
            now_mono_ns: at_ns(now_s),
            ..v1::Snapshot::default()
        };
        let health = Health::of(&snapshot);
        assert_eq!(health.to_string(), expected);
        assert_eq!(health.ok, expected.starts_with("ok"));
    }

    #[test]
    fn rows() {
        check(100, 101, "ok: the loop last turned 1.0 s ago\n");
        check(100, 130, "ok: the loop last turned 30.0 s ago\n");
        check(100, 131, "stuck: the loop last turned 31.0 s ago\n");
        // No turn is later than the look at it.
        check(101, 100, "ok: the loop last turned 0.0 s ago\n");
    }
}
