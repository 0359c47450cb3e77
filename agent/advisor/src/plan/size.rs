//! How many CPUs batch work must stay off: need, lateness and hysteresis -> one number. Owns
//! growth and shrink bounds; which CPUs is `place`.

use model::decision::Decision;
use model::qos::PoolName;
use model::snapshot::Signal;
use model::{MilliCpu, Timestamp};

use super::need::{Lateness, Measured, Needs};
use super::{Held, PlanInput, Room};

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

/// The result, with the state that the next turn needs.
pub(super) struct Sizing {
    pub(super) n_exclusive: usize,
    pub(super) share_low_since: Option<Timestamp>,
    pub(super) share_late_ticks: u8,
    /// Only when the number changed.
    pub(super) decision: Option<Decision>,
}

/// A size and the rule that gave it.
struct Choice {
    n: usize,
    rule: &'static str,
    low_since: Option<Timestamp>,
}

pub(super) fn exclusive(input: &PlanInput<'_>, room: &Room, needs: &Needs, aim: Aim) -> Sizing {
    let late_ticks = late_ticks(input, needs);
    let before = Before::new(input, room);
    let wanted = match aim {
        Aim::ReclaimFloor => {
            let n = room.n_usable.saturating_sub(room.floor).max(before.n);
            Choice { n, rule: "stale-floor", low_since: None }
        }
        Aim::Need if input.policy.reclaim.overlap_share => {
            lending(input, room, needs, &before, late_ticks)
        }
        Aim::Need => splitting(input, room, needs, &before, late_ticks),
    };
    let chosen = bounded(input, room, &before, wanted);
    let changed = input.previous.is_none() || chosen.n != before.n;
    let decision = changed.then(|| explain(input, room, needs, &before, &chosen, late_ticks));
    Sizing {
        n_exclusive: chosen.n,
        share_low_since: chosen.low_since,
        share_late_ticks: late_ticks,
        decision,
    }
}

/// Sizes in the previous Plan, of CPUs that are still there.
struct Before {
    /// In the terms of this mode: exclusive CPUs when lending, share CPUs when splitting.
    n: usize,
    n_reclaim: usize,
    low_since: Option<Timestamp>,
    exists: bool,
}

impl Before {
    fn new(input: &PlanInput<'_>, room: &Room) -> Before {
        let held = Held::before(input, room);
        let overlap = input.policy.reclaim.overlap_share;
        Before {
            n: if overlap { held.exclusive.len() } else { held.share.len() },
            n_reclaim: held.reclaim.len(),
            low_since: input.previous.and_then(|plan| plan.share_low_since),
            exists: input.previous.is_some(),
        }
    }
}

fn late_ticks(input: &PlanInput<'_>, needs: &Needs) -> u8 {
    let before = input.previous.map_or(0, |plan| plan.share_late_ticks);
    match needs.lateness {
        Lateness::PoolTooSmall | Lateness::Contended => before.saturating_add(1),
        Lateness::OnTime | Lateness::Elsewhere => 0,
    }
}

/// Share is all usable CPUs; batch work is sent off them one by one while the service is hot.
fn lending(
    input: &PlanInput<'_>,
    room: &Room,
    needs: &Needs,
    before: &Before,
    late_ticks: u8,
) -> Choice {
    let most = room.n_usable - room.floor;
    let size = MilliCpu::from_cpus(room.n_usable as u64);
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
    let most = usize::from(input.policy.reclaim.max_growth_per_tick);
    shrink(input, before, needs.known, (0, most))
}

/// Share and reclaim divide the usable CPUs.
fn splitting(
    input: &PlanInput<'_>,
    room: &Room,
    needs: &Needs,
    before: &Before,
    late_ticks: u8,
) -> Choice {
    let by_need = whole_cpus(needs.share).clamp(1, room.n_usable);
    if !before.exists {
        return Choice { n: by_need, rule: "share-need", low_since: None };
    }
    if late_ticks >= LATE_TICKS {
        // Too small, or sharing its highest CPUs with the reclaim floor: both want one CPU more.
        let n = (before.n + 1).max(by_need).min(room.n_usable);
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
fn bounded(input: &PlanInput<'_>, room: &Room, before: &Before, wanted: Choice) -> Choice {
    if !before.exists {
        return wanted;
    }
    let growth = match input.snapshot.signal {
        Signal::Degraded { .. } => 0,
        _ => usize::from(input.policy.reclaim.max_growth_per_tick),
    };
    let most_reclaim = (before.n_reclaim + growth).max(room.floor);
    let least = room.n_usable.saturating_sub(most_reclaim);
    let n = wanted.n.max(least).min(room.n_usable);
    Choice { n, rule: if n == wanted.n { wanted.rule } else { "reclaim-growth-bound" }, ..wanted }
}

fn whole_cpus(need: MilliCpu) -> usize {
    usize::try_from(need.ceil_cpus()).unwrap_or(usize::MAX)
}

fn explain(
    input: &PlanInput<'_>,
    room: &Room,
    needs: &Needs,
    before: &Before,
    chosen: &Choice,
    late_ticks: u8,
) -> Decision {
    let overlap = input.policy.reclaim.overlap_share;
    let what = if overlap { "withheld from batch work" } else { "in the share pool" };
    Decision {
        at: input.now,
        rule: chosen.rule,
        subject: PoolName::SHARE.to_owned(),
        inputs: vec![
            ("usable", format!("{} CPUs", room.n_usable)),
            ("need", format!("{} mCPU", needs.share)),
            ("measured", format!("{} mCPU", needs.measured)),
            ("late_ticks", late_ticks.to_string()),
            ("lateness", format!("{:?}", needs.lateness)),
            ("before", format!("{} CPUs", before.n)),
            ("reclaim_before", format!("{} CPUs", before.n_reclaim)),
            ("floor", format!("{} CPUs", room.floor)),
        ],
        result: format!("{} CPUs {what}", chosen.n),
    }
}
