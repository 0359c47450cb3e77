//! Moves a size until what is measured is at its target: Katalyst's rama. Owns the gains and dead
//! bands; how fast whole CPUs follow is `regulate`.
//!
//! Each indicator has a sum of its own: e = ln(current) - ln(target), and outside of its dead band
//! the sum grows by gain * e * (CPUs the region may have). The largest sum wins. Three things differ
//! from Katalyst, whose sum may shrink a pool that waits: a sum of the other sign is dropped first,
//! within the band it is zero, and it never exceeds what the bounds let happen.

use std::collections::BTreeMap;

use model::MilliCpu;
use model::ledger::Resident;
use model::measured::PodMeasure;
use model::provision::{Indicator, MicroCpu, SizeRule, Targets};

use super::region::{Kind, Region};
use super::{ProvisionInput, Wanted, regulate};

pub(super) type Adjusted = BTreeMap<Indicator, MicroCpu>;

/// Gains above and below the target, and how far off the target nothing is done.
struct Tuning {
    gain_up: f64,
    gain_down: f64,
    band_up: f64,
    band_down: f64,
}

/// Katalyst's, tuned there in production.
const fn tuning(indicator: Indicator) -> Tuning {
    match indicator {
        Indicator::RunqP99 => {
            Tuning { gain_up: 0.05, gain_down: 0.009, band_up: 0.05, band_down: 0.20 }
        }
        Indicator::UsageRatio => {
            Tuning { gain_up: 0.1, gain_down: 0.04, band_up: 0.01, band_down: 0.06 }
        }
        Indicator::Cpi => Tuning { gain_up: 0.1, gain_down: 0.04, band_up: 0.0, band_down: 0.02 },
    }
}

/// No reading counts as less than this part of its target: the logarithm of nothing is no number.
const LEAST: f64 = 0.01;

/// `None` without anything to follow, or where the size has no say: reclaim off, or a fixed extra
/// that would hide the error.
pub(super) fn wanted(input: &ProvisionInput<'_>, region: &Region<'_>) -> Option<Wanted> {
    if !input.policy.reclaim_enabled || input.provision.ramp.extra.0 > 0 {
        return None;
    }
    let readings = readings(input, region);
    if readings.iter().all(|(_, current, _)| current.is_none()) {
        return None;
    }
    let held = held(input, region);
    let (mut adjusted, mut inputs) = (Adjusted::new(), Vec::new());
    for (indicator, current, target) in readings {
        let before = held.get(&indicator).copied();
        // It was followed and is gone: nothing says that less would do.
        let sum = current.map_or(MicroCpu(0), |current| {
            adjust(input, region, indicator, (current, target), before)
        });
        adjusted.insert(indicator, sum);
        let current =
            current.map_or_else(|| "not measured".to_owned(), |current| format!("{current:.4}"));
        let moved = sum.0 as f64 / 1e6;
        inputs.push((indicator.name(), format!("{current} of {target}: {moved:+.3} CPUs")));
    }
    let sum = adjusted.values().max().copied().unwrap_or_default();
    let micro = region.before as i128 * 1_000_000 + i128::from(sum.0);
    let milli = u64::try_from(micro.max(0)).unwrap_or(u64::MAX).div_ceil(1000);
    let at_least = at_least(input, region);
    Some(Wanted { rule: SizeRule::Pid, milli, at_least, adjusted, inputs })
}

fn held<'a>(input: &ProvisionInput<'a>, region: &Region<'_>) -> &'a Adjusted {
    static NONE: Adjusted = Adjusted::new();
    let held = input.state.regions.get(&region.name).filter(|_| !region.is_moved);
    held.map_or(&NONE, |held| &held.adjusted)
}

/// The sum of one indicator after this reading.
fn adjust(
    input: &ProvisionInput<'_>,
    region: &Region<'_>,
    indicator: Indicator,
    (current, target): (f64, f64),
    before: Option<MicroCpu>,
) -> MicroCpu {
    let Tuning { gain_up, gain_down, band_up, band_down } = tuning(indicator);
    let off = (current - target) / target;
    let error = (current / target).max(LEAST).ln();
    let before = before.unwrap_or_default().0;
    let (gain, from) = match () {
        () if off > band_up => (gain_up, before.max(0)),
        () if off < -band_down => (gain_down, before.min(0)),
        () => return MicroCpu(0),
    };
    let step = (gain * region.upper as f64 * error * 1e6).round() as i64;
    let bounds = regulate::bounds(input, region);
    let room = |to: usize| (to as i64 - region.before as i64).saturating_mul(1_000_000);
    let most = (milli_to_micro(input.provision.pid_up)).min(room(bounds.1).max(0));
    let least = (-milli_to_micro(input.provision.pid_down)).max(room(bounds.0).min(0));
    MicroCpu(from.saturating_add(step).clamp(least, most))
}

fn milli_to_micro(milli: MilliCpu) -> i64 {
    i64::try_from(milli.0).unwrap_or(i64::MAX).saturating_mul(1000)
}

/// The smallest size whose usage ratio would not at once ask for a CPU more. Without it a size
/// between two whole numbers would go up and down for ever.
fn at_least(input: &ProvisionInput<'_>, region: &Region<'_>) -> usize {
    let Some(target) = targets(input, region).usage_ratio else { return 0 };
    let Some(usage) = usage(input, region) else { return 0 };
    let most = target * (1.0 + tuning(Indicator::UsageRatio).band_up);
    (usage / most - 1e-9).ceil().max(0.0) as usize
}

fn targets(input: &ProvisionInput<'_>, region: &Region<'_>) -> Targets {
    match region.kind {
        Kind::Share => input.provision.share_targets,
        Kind::Owner => input.provision.dedicated_targets,
    }
}

/// Every indicator with a target.
fn readings(input: &ProvisionInput<'_>, region: &Region<'_>) -> Vec<(Indicator, Option<f64>, f64)> {
    let targets = targets(input, region);
    let worst = |of: &dyn Fn(&PodMeasure) -> Option<f64>| {
        let measures = region.pods.iter().filter_map(|pod| measure(input, pod));
        measures.filter_map(of).filter(|x| x.is_finite()).max_by(f64::total_cmp)
    };
    let usage_ratio = usage(input, region).map(|usage| usage / region.before.max(1) as f64);
    let p99 = worst(&|one| one.runq_p99.map(|p99| p99.0 as f64));
    let rows = [
        (Indicator::RunqP99, p99, targets.runq_p99.map(|p99| p99.0 as f64)),
        (Indicator::UsageRatio, usage_ratio, targets.usage_ratio),
        (Indicator::Cpi, worst(&|one| one.cpi), targets.cpi),
    ];
    let targeted = rows.into_iter().filter_map(|(one, current, target)| {
        let target = target.filter(|target| target.is_finite() && *target > 0.0)?;
        let followed = input.state.regions.get(&region.name);
        let known = followed.is_some_and(|held| held.adjusted.contains_key(&one));
        (current.is_some() || known).then_some((one, current, target))
    });
    targeted.collect()
}

fn measure<'a>(input: &ProvisionInput<'a>, pod: &Resident) -> Option<&'a PodMeasure> {
    input.measured.pods.get(&pod.ask.uid)
}

/// CPUs in use; a pod that was not measured counts with its request. `None` when none was.
fn usage(input: &ProvisionInput<'_>, region: &Region<'_>) -> Option<f64> {
    let used = region.pods.iter().map(|pod| measure(input, pod).and_then(|one| one.cpu));
    let used: Vec<Option<MilliCpu>> = used.collect();
    used.iter().flatten().next()?;
    let each = used.iter().zip(&region.pods).map(|(used, pod)| used.unwrap_or(pod.ask.cpu).0);
    Some(each.fold(0, u64::saturating_add) as f64 / 1000.0)
}
