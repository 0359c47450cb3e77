//! Whole CPUs, and how fast they change: up by a bounded number at once, down by a smaller one and
//! not again for a while. Owns no need.

use model::Timestamp;

use super::region::Region;
use super::{ProvisionInput, Wanted};

/// A size and when it was last made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Regulated {
    pub(super) n: usize,
    pub(super) last_down: Option<Timestamp>,
}

/// Least and most CPUs of a region.
pub(super) fn bounds(input: &ProvisionInput<'_>, region: &Region<'_>) -> (usize, usize) {
    let asked = usize::try_from(region.asked.ceil_cpus()).unwrap_or(usize::MAX).max(1);
    let lower = usize::from(input.provision.ramp.min_cpus).min(asked).max(1);
    (lower.min(region.upper), region.upper)
}

/// The size of a region.
///
/// Worked example: 8 CPUs stand, 3200 mCPU are wanted, whole cores of two threads: 4, but no more
/// than 2 less than before: 6; and only when the last step down was 30 s ago.
pub(super) fn regulate(
    input: &ProvisionInput<'_>,
    region: &Region<'_>,
    wanted: &Wanted,
) -> Regulated {
    let ramp = &input.provision.ramp;
    let step = if ramp.whole_cores { input.layout.threads_per_core.max(1) } else { 1 };
    let milli = wanted.milli.saturating_add(ramp.extra.0);
    let n = usize::try_from(milli.div_ceil(1000)).unwrap_or(usize::MAX / 2);
    let n = up_to(n.min(usize::MAX / 2).max(wanted.at_least.min(region.before)), step);
    let (lower, upper) = bounds(input, region);
    let n = n.clamp(lower, upper);
    let held = input.state.regions.get(&region.name);
    let last_down = held.and_then(|held| held.last_down);
    let before = region.before;
    if n >= before {
        let most = before.saturating_add(usize::from(ramp.max_up));
        // Half a core over the bound is half a core too much.
        let most = (most - most % step).max(before);
        return Regulated { n: n.min(most).clamp(lower, upper), last_down };
    }
    let rests = last_down.is_some_and(|last| input.now.since(last) < ramp.down_every);
    if rests {
        return Regulated { n: before.clamp(lower, upper), last_down };
    }
    // A bound under one core would hold whole cores for ever.
    let most = usize::from(ramp.max_down).max(if ramp.max_down > 0 { step } else { 0 });
    let n = n.max(up_to(before.saturating_sub(most), step)).min(before).clamp(lower, upper);
    let last_down = if n < before { Some(input.now) } else { last_down };
    Regulated { n, last_down }
}

fn up_to(n: usize, step: usize) -> usize {
    n.div_ceil(step).saturating_mul(step)
}
