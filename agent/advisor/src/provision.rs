//! How many CPUs each region needs, from what was measured.
//!
//! # Problem
//! Requests are promises and mostly too large. What services really use tells how many CPUs they
//! need now, but it swings, may be missing, and a size that follows it at once would move tasks all
//! the time or leave a service short in the moment it wakes up.
//!
//! # Units
//! Needs in thousandths of a CPU, the controller's sum in millionths, sizes in whole CPUs.
//!
//! # Approach
//! 1. `isolate`: shared pods with more runnable tasks than they have CPUs get a pool of their own.
//! 2. `region`: the share pools (those of a NUMA node are regions of their own) and the owners of
//!    whole nodes, each with the size that stands.
//! 3. For each region the first rule of the policy that can run says what it wants: `estimate` sums
//!    up its pods, `pid` moves the size towards the targets of its indicators.
//! 4. `regulate` makes whole CPUs of it and bounds how fast they change.
//! 5. `quota`: with `DynamicQuota` reclaimed work may run everywhere, and a quota holds it.
//! 6. `apply` puts the sizes into a `Tally`; `pool` makes CPUs of it, and divides in proportion what
//!    does not fit.
//!
//! A pod that came since the last measurement adds its request, whatever the rule says. What was
//! not measured counts as its request; a controller with an indicator missing never shrinks.
//!
//! # Worked example
//! Share has 6 CPUs, one pod asks for 6 and uses 3.2. `canonical`: 3.2 * 1.25 = 4 CPUs, reached in
//! one step down of 2. `pid`: usage 3.2/6 = 0.53 of the target 0.8 is a log error of -0.41; in a
//! region of 20 CPUs each measurement takes 0.04 * 20 * 0.41 = 0.33 away, so that after the fourth
//! the sum is over a CPU and the size 5. There 3.2/5 = 0.64; 4 CPUs are exactly at the target.
//!
//! # Limits
//! Katalyst's controller has a differential term, whose gains are all 0; ours has none. Its
//! controller is capped by the quota's where both exist; here one rule decides.

mod apply;
mod estimate;
mod explain;
mod isolate;
mod pid;
mod quota;
mod region;
mod regulate;

use std::collections::BTreeMap;

use model::decision::Decision;
use model::ledger::Ledger;
use model::measured::Measured;
use model::placement::PlacementPolicy;
use model::provision::{
    MicroCpu, ProvisionPolicy, ProvisionState, ReclaimKnob, RegionState, SizeRule,
};
use model::{MilliCpu, Timestamp};

use crate::layout::Layout;
use crate::tally::Tally;
use region::Region;

/// What sizes follow from.
#[derive(Clone, Copy, Debug)]
pub struct ProvisionInput<'a> {
    pub now: Timestamp,
    pub layout: &'a Layout,
    pub policy: &'a PlacementPolicy,
    pub provision: &'a ProvisionPolicy,
    pub ledger: &'a Ledger,
    /// By requests: `Tally::of` everybody in the ledger.
    pub tally: &'a Tally,
    pub measured: &'a Measured,
    pub state: &'a ProvisionState,
    /// How much a quota may grow at once, and then small changes are left out: on a node that runs.
    pub max_quota_growth: Option<MilliCpu>,
}

/// The sizes, and what the next measurement needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Provisioned {
    /// For `pool::pools` and `pool::placement`.
    pub tally: Tally,
    pub state: ProvisionState,
    /// Only where something changed.
    pub decisions: Vec<Decision>,
}

/// One measurement.
pub fn provision(input: &ProvisionInput<'_>) -> Provisioned {
    if matches!(input.provision.rules.first(), None | Some(SizeRule::Requests)) {
        let state = ProvisionState::default();
        return Provisioned { tally: input.tally.clone(), state, decisions: Vec::new() };
    }
    let (isolation, mut decisions) = isolate::isolation(input);
    let mut state = ProvisionState { isolation, ..ProvisionState::default() };
    let split = apply::isolated(input, input.tally.clone(), &state);
    if let Some(quota) = quota::quotas(input, &split) {
        (state.knob, state.quota) = (ReclaimKnob::Quota, quota);
        decisions.extend(explain::quota(input, &state));
    } else {
        state.knob = ReclaimKnob::Cpus;
    }
    for region in region::regions(input, &split, state.knob) {
        let (size, decision) = size(input, &region);
        state.regions.insert(region.name.clone(), size);
        decisions.extend(decision);
    }
    let tally = apply::sized(input, split, &state);
    Provisioned { tally, state, decisions }
}

/// Noisy pods alone, where sizes follow something else than these rules.
pub fn apart(input: &ProvisionInput<'_>) -> Provisioned {
    let (isolation, decisions) = isolate::isolation(input);
    let state = ProvisionState { isolation, ..ProvisionState::default() };
    let tally = apply::isolated(input, input.tally.clone(), &state);
    Provisioned { tally, state, decisions }
}

/// The sizes that stand, without a new measurement: pods may have come and gone since.
pub fn standing(input: &ProvisionInput<'_>) -> Tally {
    let split = apply::isolated(input, input.tally.clone(), input.state);
    apply::sized(input, split, input.state)
}

/// What a rule says.
struct Wanted {
    rule: SizeRule,
    milli: u64,
    /// The least that the rule finds safe to shrink to.
    at_least: usize,
    adjusted: pid::Adjusted,
    inputs: Vec<(&'static str, String)>,
}

fn size(input: &ProvisionInput<'_>, region: &Region<'_>) -> (RegionState, Option<Decision>) {
    let rules = input.provision.rules.iter();
    let first = rules.filter_map(|rule| wanted(input, region, *rule)).next();
    let wanted = first.unwrap_or_else(|| estimate::wanted(input, region));
    let before = region.before;
    let size = regulate::regulate(input, region, &wanted);
    // The controller's sum belongs to the size it was gathered at; what it followed is remembered.
    let mut adjusted = wanted.adjusted.clone();
    if size.n != before {
        adjusted.values_mut().for_each(|sum| *sum = MicroCpu(0));
    }
    let state = RegionState {
        n_cpus: u16::try_from(size.n).unwrap_or(u16::MAX),
        asked: region.asked,
        last_down: size.last_down,
        adjusted,
    };
    let is_new = !input.state.regions.contains_key(&region.name);
    let changed = is_new || size.n != before;
    (state, changed.then(|| explain::size(input, region, &wanted, size.n)))
}

/// `None`: the rule cannot run here.
fn wanted(input: &ProvisionInput<'_>, region: &Region<'_>, rule: SizeRule) -> Option<Wanted> {
    match rule {
        SizeRule::Canonical => Some(estimate::wanted(input, region)),
        SizeRule::Requests => Some(Wanted {
            rule,
            milli: region.asked.0,
            at_least: 0,
            adjusted: BTreeMap::new(),
            inputs: vec![("requests", format!("{} mCPU", region.asked))],
        }),
        SizeRule::Pid => pid::wanted(input, region),
        // Holds the whole node, not one region.
        SizeRule::DynamicQuota => None,
        SizeRule::Runq => None,
    }
}

#[cfg(test)]
mod tests;
