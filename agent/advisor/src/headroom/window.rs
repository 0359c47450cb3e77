//! From a momentary value to the one that is told.
//!
//! # Problem
//! What is free goes up and down with every request that a service answers; what is told must not,
//! and must still be there when somebody takes it.
//!
//! # Units
//! Amounts in the unit of the headroom, times in nanoseconds.
//!
//! # Approach
//! A sample is the smallest value since the last sample. With a full window of live samples the
//! smoothed value is their average or a percentile; a change smaller than `min_step` is not followed,
//! a change larger than `max_step` by exactly `max_step`. Without a full window the last value
//! stands, or nothing. Then, in this order: not more than there is now, less the reserve, at least
//! the floor as far as it is there, and nothing where it is too little.
//!
//! # Worked example
//! Size 3, average, steps 0.3 and 4. Fed 0.6, 0.8: nothing. 0.4: 0.6. 1.2: the average is 0.8, a
//! change of 0.2 is not followed. 1.4: 1.0. 15: the average is 5.87, followed up to 1 + 4 = 5.
//!
//! # Limits
//! One window serves the total; parts of nodes are not smoothed by themselves.

use model::Timestamp;
use model::headroom::{
    Absent, Amount, Explained, MAX_SAMPLES, ReportPolicy, Smooth, WindowPolicy, WindowSample,
    WindowState,
};

/// Feeds a value: what the window gives now, and the window after it.
pub fn feed(
    policy: &WindowPolicy,
    state: &WindowState,
    now: Timestamp,
    value: Amount,
) -> (Result<Amount, Absent>, WindowState) {
    let want = policy.size.clamp(1, MAX_SAMPLES);
    let lowest = state.lowest.map_or(value, |lowest| lowest.min(value));
    // Samples of the future are from before a restart of the clock.
    let live = |one: &&WindowSample| one.at <= now && now.since(one.at) < policy.ttl;
    let mut samples: Vec<WindowSample> = state.samples.iter().filter(live).copied().collect();
    let is_due = samples.last().is_none_or(|last| now.since(last.at) >= policy.every);
    let mut next = WindowState { lowest: Some(lowest), last: state.last, samples: Vec::new() };
    if is_due {
        samples.push(WindowSample { at: now, value: lowest });
        next.lowest = None;
    }
    next.samples = samples.split_off(samples.len().saturating_sub(want));
    let have = next.samples.len();
    if is_due && have >= want {
        next.last = Some(stepped(policy, state.last, smoothed(policy.smooth, &next.samples)));
    }
    (next.last.ok_or(Absent::Filling { have, want }), next)
}

fn smoothed(rule: Smooth, samples: &[WindowSample]) -> Amount {
    let mut values: Vec<u64> = samples.iter().map(|one| one.value.0).collect();
    match rule {
        Smooth::Average => {
            let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
            // An average is at most the largest.
            Amount((sum / values.len().max(1) as u128) as u64)
        }
        Smooth::Percentile(percent) => {
            values.sort_unstable();
            let idx = values.len().saturating_sub(1) * usize::from(percent.min(100)) / 100;
            Amount(values.get(idx).copied().unwrap_or_default())
        }
    }
}

fn stepped(policy: &WindowPolicy, last: Option<Amount>, to: Amount) -> Amount {
    let Some(last) = last else { return to };
    let change = last.0.abs_diff(to.0);
    match change {
        change if change < policy.min_step.0 => last,
        change if change <= policy.max_step.0 => to,
        _ if to > last => Amount(last.0.saturating_add(policy.max_step.0)),
        _ => Amount(last.0.saturating_sub(policy.max_step.0)),
    }
}

/// Continues the arithmetic of a momentary value to the one that is told.
pub fn report(
    policy: &ReportPolicy,
    state: &WindowState,
    now: Timestamp,
    momentary: Explained,
) -> (Explained, WindowState) {
    let Ok(there) = momentary.value else { return (momentary, state.clone()) };
    let (given, next) = feed(&policy.window, state, now, there);
    let mut told = momentary;
    match given {
        Ok(value) => {
            told.lead_to("smoothed", value, how(&policy.window));
            bound(policy, there, &mut told);
        }
        Err(reason) => told.withdraw(reason),
    }
    (told, next)
}

fn bound(policy: &ReportPolicy, there: Amount, told: &mut Explained) {
    let current = |told: &Explained| told.value.clone().unwrap_or_default();
    if current(told) > there {
        told.lead_to("not_more_than_now", there, "what is there in this moment");
    }
    let less = Amount(current(told).0.saturating_sub(policy.reserve.0));
    told.lead_to("reserve", less, "kept back by policy");
    let floor = policy.floor.min(there);
    if current(told) < floor {
        told.lead_to("floor", floor, "wished by policy, as far as it is there");
    }
    if current(told) < policy.ignore_below {
        let from = format!("under {} it is told as nothing", policy.ignore_below.0);
        told.lead_to("too_little", Amount(0), from);
    }
}

fn how(policy: &WindowPolicy) -> String {
    let rule = match policy.smooth {
        Smooth::Average => "average".to_owned(),
        Smooth::Percentile(0) => "smallest".to_owned(),
        Smooth::Percentile(percent) => format!("{percent} % percentile"),
    };
    let (size, s) = (policy.size, policy.every.0 / 1_000_000_000);
    let (least, most) = (policy.min_step.0, policy.max_step.0);
    format!("{rule} of {size} samples, one in {s} s; steps of {least} to {most}")
}
