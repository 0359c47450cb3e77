//! Which managers are compared, and what each of them writes before the load starts.

use serde::Serialize;

/// Who manages the node. The order is the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The service without any batch work.
    Alone,
    /// Batch pods with ordinary requests, so ordinary weights.
    Unmanaged,
    /// Batch as BestEffort: what Kubernetes does by itself.
    K8s,
    /// BestEffort plus koordlet's 65 % rule (ours, `rule65`).
    Rule65,
    /// The best fixed split a small sweep finds.
    Static,
    /// The agent.
    Berth,
}

impl Phase {
    pub const ALL: [Phase; 6] =
        [Phase::Alone, Phase::Unmanaged, Phase::K8s, Phase::Rule65, Phase::Static, Phase::Berth];

    pub const fn name(self) -> &'static str {
        match self {
            Phase::Alone => "alone",
            Phase::Unmanaged => "unmanaged",
            Phase::K8s => "k8s",
            Phase::Rule65 => "rule65",
            Phase::Static => "static",
            Phase::Berth => "berth",
        }
    }

    pub fn from_name(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

/// A fixed division of the node, set once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// All batch pods together get this share of the node's CPU time.
    QuotaPct(u64),
    /// Batch pods keep to the last CPU; the service may use every CPU.
    LastCpu,
    /// Batch pods keep to the last CPU and the service to the others.
    Partition,
}

impl Split {
    /// What the sweep tries.
    pub const SWEEP: [Split; 4] =
        [Split::QuotaPct(15), Split::QuotaPct(40), Split::LastCpu, Split::Partition];

    pub fn name(self) -> String {
        match self {
            Split::QuotaPct(pct) => format!("quota {pct} %"),
            Split::LastCpu => "batch on the last CPU".to_owned(),
            Split::Partition => "a CPU each".to_owned(),
        }
    }
}

/// How one candidate of the sweep did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepRow {
    pub split: Split,
    pub name: String,
    pub service_p99_us: u64,
    pub batch_ops: u64,
}

/// The split an operator would keep: the most batch work among those whose p99 stays within
/// `limit_us`, else the lowest p99.
pub fn best_split(rows: &[SweepRow], limit_us: u64) -> Option<Split> {
    let within = rows.iter().filter(|row| row.service_p99_us <= limit_us);
    let best = within.max_by_key(|row| row.batch_ops);
    best.or_else(|| rows.iter().min_by_key(|row| row.service_p99_us)).map(|row| row.split)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &[(Split, u64, u64)], limit_us: u64, expect: Option<Split>) {
        let row = |(split, service_p99_us, batch_ops): &(Split, u64, u64)| SweepRow {
            split: *split,
            name: split.name(),
            service_p99_us: *service_p99_us,
            batch_ops: *batch_ops,
        };
        let rows: Vec<SweepRow> = rows.iter().map(row).collect();
        assert_eq!(best_split(&rows, limit_us), expect);
    }

    #[test]
    fn most_batch_within_the_limit_else_lowest_latency() {
        let small = (Split::QuotaPct(15), 9_000, 100);
        let large = (Split::QuotaPct(40), 9_900, 300);
        let late = (Split::LastCpu, 40_000, 500);
        check(&[small, large, late], 10_000, Some(Split::QuotaPct(40)));
        check(&[small, large, late], 9_500, Some(Split::QuotaPct(15)));
        check(&[late, large], 1_000, Some(Split::QuotaPct(40)));
        check(&[], 1_000, None);
    }

    #[test]
    fn names_go_both_ways() {
        for phase in Phase::ALL {
            assert_eq!(Phase::from_name(phase.name()), Some(phase));
        }
        assert_eq!(Phase::from_name("nobody"), None);
    }
}
