//! What one pod needs, and the sum over a region: Katalyst's canonical rule. Owns the fallbacks where
//! nothing was measured.

use std::collections::BTreeMap;

use model::MilliCpu;
use model::ledger::{Place, Resident};
use model::provision::SizeRule;

use super::region::{Kind, Region};
use super::{ProvisionInput, Wanted};
use crate::tally::NEW_POD_FACTOR;

/// What a pod needs and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Measured(MilliCpu),
    Request(MilliCpu),
    /// It asks for nothing and nobody measured it.
    Unknown(MilliCpu),
}

impl Need {
    pub(super) fn milli(self) -> MilliCpu {
        match self {
            Need::Measured(milli) | Need::Request(milli) | Need::Unknown(milli) => milli,
        }
    }
}

/// Measured usage with room for swings or its runnable tasks, whichever is larger; its request
/// where it was not measured, still starts, or where nobody takes what it leaves.
pub(super) fn need(input: &ProvisionInput<'_>, resident: &Resident) -> Need {
    let ramping = resident.is_ramping(input.now);
    let measure = input.measured.pods.get(&resident.ask.uid);
    if input.policy.reclaim_enabled
        && !ramping
        && let Some(measure) = measure
    {
        let usage = measure.cpu.map_or(0.0, |cpu| cpu.0 as f64 * input.provision.usage_factor);
        let load = measure.runnable.unwrap_or(0.0) * 1000.0;
        // `as` saturates and makes zero of NaN, which counts as not measured.
        let milli = usage.max(load).ceil() as u64;
        if milli > 0 {
            return Need::Measured(MilliCpu(milli));
        }
    }
    let bound = matches!(resident.place, Place::Node(_));
    let factor = if ramping && bound { NEW_POD_FACTOR } else { 1 };
    match resident.ask.cpu.0.saturating_mul(factor) {
        0 => Need::Unknown(input.provision.unknown_pod),
        milli => Need::Request(MilliCpu(milli)),
    }
}

/// The sum over a region. Owners are measured against what they own: without a measurement they
/// need all of it.
pub(super) fn wanted(input: &ProvisionInput<'_>, region: &Region<'_>) -> Wanted {
    let needs = region.pods.iter().map(|pod| (pod, need(input, pod)));
    let needs: Vec<(&&Resident, Need)> = needs.collect();
    let measured = needs.iter().all(|(_, need)| matches!(need, Need::Measured(_)));
    let milli = match region.kind {
        Kind::Owner if !measured => region.asked.0,
        _ => needs.iter().map(|(_, need)| need.milli().0).fold(0, u64::saturating_add),
    };
    let text = |(pod, need): &(&&Resident, Need)| match need {
        Need::Measured(milli) => format!("{} measured {milli}", pod.ask.name),
        Need::Request(milli) => format!("{} request {milli}", pod.ask.name),
        Need::Unknown(milli) => format!("{} unknown {milli}", pod.ask.name),
    };
    let texts: Vec<String> = needs.iter().take(MAX_NAMED).map(text).collect();
    let more = needs.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let inputs = vec![("needs", format!("{} mCPU{more}", texts.join(", ")))];
    let (rule, adjusted) = (SizeRule::Canonical, BTreeMap::new());
    Wanted { rule, milli, at_least: 0, adjusted, inputs }
}

/// Pods that an explanation names: a decision is read by a person.
const MAX_NAMED: usize = 8;
