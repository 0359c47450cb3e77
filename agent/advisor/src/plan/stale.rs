//! Whether the Snapshot may be planned from. Owns the rule of invariant 4 (no Plan from input
//! older than its allowed age). The topology has no age limit: it changes by hotplug, not by time.

use model::derive::{HOST, PROBE, WORKLOADS};
use model::plan::{Finding, Plan, Severity};

use super::PlanInput;

/// What the age of the input allows.
pub(super) enum Freshness<'a> {
    Fresh,
    /// Too old, but not for long: the previous Plan stays.
    Tolerated {
        previous: &'a Plan,
        finding: Finding,
    },
    /// Too old for too long, or nothing to keep.
    Expired {
        finding: Finding,
    },
}

pub(super) fn freshness<'a>(input: &PlanInput<'a>) -> Freshness<'a> {
    let Some((source, age_ms)) = oldest(input) else { return Freshness::Fresh };
    let finding = |what: &str| Finding {
        severity: Severity::Warning,
        rule: "stale-source",
        subject: source.to_owned(),
        message: format!("the newest reading of {source} is {age_ms} ms old: {what}"),
    };
    match input.previous {
        Some(previous) if input.now.since(previous.snapshot_at) <= input.policy.keep_stale_plan => {
            Freshness::Tolerated { previous, finding: finding("the last Plan stays") }
        }
        _ => Freshness::Expired { finding: finding("reclaimed work is held at its floor") },
    }
}

/// The oldest source over its limit. One that was never read is absent, which `Signal` and
/// missing values already tell; it is not stale.
fn oldest(input: &PlanInput<'_>) -> Option<(&'static str, u64)> {
    let waited = input.now.since(input.snapshot.at);
    let stale = [WORKLOADS, HOST, PROBE].into_iter().filter_map(|name| {
        let age = input.snapshot.sources.get(name)?.age?;
        let age = age.0.saturating_add(waited.0);
        (age > input.policy.max_sample_age.0).then_some((name, age / 1_000_000))
    });
    stale.max_by_key(|(_, age_ms)| *age_ms)
}
