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

/// A fixed division of the node, set once: how little batch weighs, and what it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Split {
    /// `cpu.weight` of what all batch pods lie in.
    pub weight: u64,
    pub limit: Limit,
}

/// What all batch pods together may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Everything.
    None,
    /// This share of the node's CPU time.
    QuotaPct(u64),
    /// The last CPU; the service may use every CPU.
    LastCpu,
    /// The last CPU, and the service the others.
    Partition,
}

/// What eight pods of ordinary weight weigh together.
const ORDINARY: u64 = 800;

impl Split {
    /// What the sweep tries: each limit with the least weight, which is the best a fixed split can
    /// do for the service, and with the ordinary one where a limit alone could be enough.
    pub const SWEEP: [Split; SWEEP_LEN] = SWEEP;

    pub fn name(self) -> String {
        let weight = match self.weight {
            ORDINARY => "ordinary weight".to_owned(),
            weight => format!("weight {weight}"),
        };
        match self.limit {
            Limit::None => weight,
            Limit::QuotaPct(pct) => format!("{weight}, quota {pct} %"),
            Limit::LastCpu => format!("{weight}, batch on the last CPU"),
            Limit::Partition => format!("{weight}, a CPU each"),
        }
    }
}

const SWEEP_LEN: usize = 9;
const SWEEP: [Split; SWEEP_LEN] = [
    Split { weight: 1, limit: Limit::None },
    Split { weight: 10, limit: Limit::None },
    Split { weight: 1, limit: Limit::QuotaPct(75) },
    Split { weight: 1, limit: Limit::QuotaPct(50) },
    Split { weight: 1, limit: Limit::LastCpu },
    Split { weight: ORDINARY, limit: Limit::QuotaPct(15) },
    Split { weight: ORDINARY, limit: Limit::QuotaPct(40) },
    Split { weight: ORDINARY, limit: Limit::LastCpu },
    Split { weight: ORDINARY, limit: Limit::Partition },
];

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
        let split = |limit| Split { weight: 1, limit };
        let small = (split(Limit::QuotaPct(15)), 9_000, 100);
        let large = (split(Limit::QuotaPct(40)), 9_900, 300);
        let late = (split(Limit::LastCpu), 40_000, 500);
        check(&[small, large, late], 10_000, Some(large.0));
        check(&[small, large, late], 9_500, Some(small.0));
        check(&[late, large], 1_000, Some(large.0));
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
