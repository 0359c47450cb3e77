//! How many CPUs batch work must stay off: need, lateness and hysteresis -> one number. Owns
//! growth and shrink bounds; which CPUs is `place`.

use model::decision::Decision;
use model::plan::RegionState;
use model::qos::PoolName;
use model::snapshot::Signal;
use model::{CpuSet, MilliCpu, Timestamp};

use super::PlanInput;
use super::need::{Lateness, Measured, Needs};
use super::region::Region;

/// Measured need over pool size above which a pool that lends its idle CPUs to batch work begins
/// to take them back. At 80 % the usual second-to-second swing of a service already touches the
/// full pool.
const HOT_NEED_RATIO: f64 = 0.8;

/// Late Plans in a row before CPUs move: one late second is noise.
const LATE_TICKS: u8 = 2;

/// What the sizes should follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Need,
    /// Input is too old: batch work keeps its floor and no more.
    ReclaimFloor,
}

/// The result.
pub(super) struct Sizing {
    pub(super) state: RegionState,
    /// Only when the number changed.
    pub(super) decision: Option<Decision>,
}

/// A size and the rule that gave it.
struct Choice {
    n: usize,
    rule: &'static str,
    low_since: Option<Timestamp>,
}

pub(super) fn exclusive(
    input: &PlanInput<'_>,
    region: &Region<'_>,
    needs: &Needs<'_>,
    aim: Aim,
) -> Sizing {
    let before = Before::new(input, region);
    let late_ticks = late_ticks(before.late_ticks, needs);
    let wanted = match aim {
        Aim::ReclaimFloor => {
            let n = region.n_cpus.saturating_sub(region.floor).max(before.n);
            Choice { n, rule: "stale-floor", low_since: None }
        }
        Aim::Need if input.policy.placement.overlap_shared_reclaim => {
            lending(input, region, needs, &before, late_ticks)
        }
        Aim::Need => splitting(input, region, needs, &before, late_ticks),
    };
    let chosen = bounded(input, region, &before, wanted);
    let changed = !before.exists || chosen.n != before.n;
    let decision = changed.then(|| explain(input, region, needs, &before, (&chosen, late_ticks)));
    let state = RegionState {
        n_exclusive: u16::try_from(chosen.n).unwrap_or(u16::MAX),
        low_since: chosen.low_since,
        late_ticks,
    };
    Sizing { state, decision }
}

/// The region in the previous Plan, as far as its CPUs are still there.
struct Before {
    n: usize,
    /// CPUs of the region that reclaimed work had.
    n_reclaim: usize,
    low_since: Option<Timestamp>,
    late_ticks: u8,
    exists: bool,
}

impl Before {
    fn new(input: &PlanInput<'_>, region: &Region<'_>) -> Before {
        let state = input.previous.and_then(|plan| plan.regions.get(&region.name));
        let reclaim = input.previous.and_then(|plan| plan.pools.get(PoolName::RECLAIM));
        let reclaim = reclaim.map_or(CpuSet::EMPTY, |pool| pool.cpus);
        let known = state.copied().unwrap_or_default();
        Before {
            n: usize::from(known.n_exclusive).min(region.n_cpus),
            n_reclaim: reclaim.intersection(&region.cpus).len(),
            low_since: known.low_since,
            late_ticks: known.late_ticks,
            exists: state.is_some(),
        }
    }
}

fn late_ticks(before: u8, needs: &Needs<'_>) -> u8 {
    match needs.lateness {
        Lateness::PoolTooSmall | Lateness::Contended => before.saturating_add(1),
        Lateness::OnTime | Lateness::Elsewhere => 0,
    }
}

/// Share is all usable CPUs; batch work is sent off them one by one while the service is hot.
fn lending(
    input: &PlanInput<'_>,
    region: &Region<'_>,
    needs: &Needs<'_>,
    before: &Before,
    late_ticks: u8,
) -> Choice {
    let most = region.n_cpus - region.floor;
    let size = MilliCpu::from_cpus(region.n_cpus as u64);
    let hot = needs.measured.0 as f64 >= size.0 as f64 * HOT_NEED_RATIO;
    let by_need = whole_cpus(needs.measured);
    if late_ticks >= LATE_TICKS {
        return Choice { n: (before.n + 1).min(most), rule: "overlap-late", low_since: None };
    }
    if hot {
        let n = (before.n + 1).min(by_need).max(before.n).min(most);
        return Choice { n, rule: "overlap-hot", low_since: None };
    }
    if before.n == 0 || late_ticks > 0 {
        return Choice { n: before.n.min(most), rule: "overlap-keep", low_since: None };
    }
    let growth = usize::from(input.policy.reclaim.max_growth_per_tick);
    let calm = shrink(input, before, needs.known, (0, growth));
    Choice { n: calm.n.min(most), ..calm }
}

/// Share and reclaim divide the usable CPUs.
fn splitting(
    input: &PlanInput<'_>,
    region: &Region<'_>,
    needs: &Needs<'_>,
    before: &Before,
    late_ticks: u8,
) -> Choice {
    let by_need = whole_cpus(needs.share).max(1).min(region.n_cpus);
    if !before.exists {
        return Choice { n: by_need, rule: "share-need", low_since: None };
    }
    if late_ticks >= LATE_TICKS {
        // Too small, or sharing its highest CPUs with the reclaim floor: both want one CPU more.
        let n = (before.n + 1).max(by_need).min(region.n_cpus);
        return Choice { n, rule: "share-late", low_since: None };
    }
    if by_need >= before.n || late_ticks > 0 {
        return Choice { n: by_need.max(before.n), rule: "share-need", low_since: None };
    }
    let most = usize::from(input.policy.share.max_shrink_per_tick);
    shrink(input, before, needs.known, (by_need, most))
}

/// Towards `target`, by `most` at once, when need was lower for long enough. What was not measured
/// was not lower: behind a gap the time counts anew, beside a workload nobody has measured yet it
/// stands still.
fn shrink(
    input: &PlanInput<'_>,
    before: &Before,
    known: Measured,
    (target, most): (usize, usize),
) -> Choice {
    if known != Measured::All {
        let low_since = before.low_since.filter(|_| known == Measured::Some);
        return Choice { n: before.n, rule: "share-unmeasured", low_since };
    }
    let since = before.low_since.unwrap_or(input.now);
    let long_enough = input.now.since(since) >= input.policy.share.shrink_after;
    let n = if long_enough { target.max(before.n.saturating_sub(most)) } else { before.n };
    Choice { n, rule: "share-shrink", low_since: Some(since) }
}

/// Reclaim grows by a bounded number of CPUs per tick and not at all while the signal is
/// distorted; what it may not take stays with share.
fn bounded(input: &PlanInput<'_>, region: &Region<'_>, before: &Before, wanted: Choice) -> Choice {
    if !before.exists {
        return wanted;
    }
    let growth = match input.snapshot.signal {
        Signal::Degraded { .. } => 0,
        _ => usize::from(input.policy.reclaim.max_growth_per_tick),
    };
    let most_reclaim = (before.n_reclaim + growth).max(region.floor);
    let least = region.n_cpus.saturating_sub(most_reclaim);
    let n = wanted.n.max(least).min(region.n_cpus);
    Choice { n, rule: if n == wanted.n { wanted.rule } else { "reclaim-growth-bound" }, ..wanted }
}

fn whole_cpus(need: MilliCpu) -> usize {
    usize::try_from(need.ceil_cpus()).unwrap_or(usize::MAX)
}

fn explain(
    input: &PlanInput<'_>,
    region: &Region<'_>,
    needs: &Needs<'_>,
    before: &Before,
    (chosen, late_ticks): (&Choice, u8),
) -> Decision {
    let overlap = input.policy.placement.overlap_shared_reclaim;
    let what = if overlap { "withheld from batch work" } else { "in the share pool" };
    Decision {
        at: input.now,
        rule: chosen.rule,
        subject: region.name.to_string(),
        inputs: vec![
            ("region", format!("{} CPUs", region.n_cpus)),
            ("need", format!("{} mCPU", needs.share)),
            ("measured", format!("{} mCPU", needs.measured)),
            ("late_ticks", late_ticks.to_string()),
            ("lateness", format!("{:?}", needs.lateness)),
            ("before", format!("{} CPUs", before.n)),
            ("reclaim_before", format!("{} CPUs", before.n_reclaim)),
            ("floor", format!("{} CPUs", region.floor)),
        ],
        result: format!("{} CPUs {what}", chosen.n),
    }
}
