//! What reclaimed work may still take of the node: CPU and memory, in total and per NUMA node.
//!
//! # Problem
//! A scheduler elsewhere places batch work by what this node promises. A promise that is not kept
//! starves batch pods, one that is too small leaves the node idle, and one that jumps about moves
//! work around. A person who doubts the number must be able to check it by hand.
//!
//! # Units
//! Thousandths of a CPU, and bytes. Ratios are of 1.
//!
//! # Approach
//! 1. `cpu` and `memory` compute what there is now, as a list of terms that add up.
//! 2. `window` smooths it: samples, a smoothing rule, a smallest and a largest step. Nothing is told
//!    before the window is full.
//! 3. What is told is never more than what is there now: a floor that the operator wishes is cut to
//!    it as well. (Katalyst's floor tells four cores of a full node.)
//! 4. The parts of the nodes are the total divided by what each node has, to the unit.
//!
//! What is not measured is absent with a reason; only reclaim that is turned off is zero.
//!
//! # Worked example
//! The reclaim pool has 10 CPUs, busy for 0.3 of the time, all of it by reclaimed pods that use 3
//! CPUs: the supply is 10 - 3 + 3 = 10. With overselling to a utilisation of 0.6, 10 told before and
//! at most 1.5 times the supply: 10 + 10 * (0.6 - 0.3) = 13.
//!
//! # Limits
//! The value is what reclaimed work may take altogether, not what is left of it: the reader subtracts
//! the requests of reclaimed pods. Sudden load of others between two ticks is not foreseen.

pub mod cpu;
pub mod memory;
pub mod window;

use std::collections::BTreeMap;

use model::headroom::{
    Absent, Amount, Explained, Headroom, HeadroomPolicy, HeadroomState, NodeHeadroom, ReclaimQuota,
    Unit,
};
use model::measured::Measured;
use model::{Bytes, MilliCpu, NumaNodeId, Timestamp};

use crate::hint::PlacementInput;
use crate::pool::Pools;
use crate::tally::Tally;

/// Everything headroom depends on.
#[derive(Clone, Copy, Debug)]
pub struct HeadroomInput<'a> {
    /// Machine, residents, time. Its own `headroom` is not read.
    pub placement: PlacementInput<'a>,
    pub tally: &'a Tally,
    pub pools: &'a Pools,
    pub policy: &'a HeadroomPolicy,
    pub measured: &'a Measured,
    /// `None`: never.
    pub measured_at: Option<Timestamp>,
    /// Limits that stand on reclaimed work.
    pub quota: &'a ReclaimQuota,
    pub state: &'a HeadroomState,
}

/// A momentary value, and how much of it each node has.
#[derive(Clone, Debug, PartialEq)]
pub struct Momentary {
    pub explained: Explained,
    pub per_node: BTreeMap<NumaNodeId, u64>,
}

/// Headroom now, and what the next tick has to know.
pub fn headroom(input: &HeadroomInput<'_>) -> (Headroom, HeadroomState) {
    let now = input.placement.now;
    let (cpu, memory) = momentary(input);
    let (cpu_told, cpu_state) =
        window::report(&input.policy.cpu_report, &input.state.cpu, now, cpu.explained);
    let (memory_told, memory_state) =
        window::report(&input.policy.memory_report, &input.state.memory, now, memory.explained);
    let per_numa = per_numa(&cpu_told, &cpu.per_node, &memory_told, &memory.per_node);
    let cpu_per_numa = match cpu_told.value {
        Ok(_) => per_numa.iter().filter_map(|(id, of)| Some((*id, of.cpu?))).collect(),
        // What was told last stays the base of what is told next.
        Err(_) => input.state.cpu_per_numa.clone(),
    };
    let state = HeadroomState { cpu: cpu_state, memory: memory_state, cpu_per_numa };
    (Headroom { cpu: cpu_told, memory: memory_told, per_numa }, state)
}

/// What there is now, not smoothed.
pub fn momentary(input: &HeadroomInput<'_>) -> (Momentary, Momentary) {
    if !input.placement.policy.reclaim_enabled {
        return (off(Unit::MilliCpu), off(Unit::Bytes));
    }
    if let Some(reason) = too_old(input) {
        let none = |unit| Momentary {
            explained: Explained::absent(unit, reason.clone()),
            per_node: BTreeMap::new(),
        };
        return (none(Unit::MilliCpu), none(Unit::Bytes));
    }
    (cpu::momentary(input), memory::momentary(input))
}

fn off(unit: Unit) -> Momentary {
    let mut explained = Explained::new(unit);
    explained.add("reclaim_off", 0, "reclaim_enabled is false");
    Momentary { explained, per_node: BTreeMap::new() }
}

fn too_old(input: &HeadroomInput<'_>) -> Option<Absent> {
    let Some(at) = input.measured_at else {
        return Some(Absent::NotMeasured { what: "anything so far".to_owned() });
    };
    let (age, max) = (input.placement.now.since(at), input.policy.max_age);
    (age > max).then_some(Absent::Stale { age, max })
}

fn per_numa(
    cpu: &Explained,
    cpu_of: &BTreeMap<NumaNodeId, u64>,
    memory: &Explained,
    memory_of: &BTreeMap<NumaNodeId, u64>,
) -> BTreeMap<NumaNodeId, NodeHeadroom> {
    let mut parts: BTreeMap<NumaNodeId, NodeHeadroom> = BTreeMap::new();
    for (id, part) in rescaled(cpu, cpu_of) {
        parts.entry(id).or_default().cpu = Some(MilliCpu(part));
    }
    for (id, part) in rescaled(memory, memory_of) {
        parts.entry(id).or_default().memory = Some(Bytes(part));
    }
    parts
}

/// The total divided in proportion; nothing while it is not known.
fn rescaled(total: &Explained, of: &BTreeMap<NumaNodeId, u64>) -> Vec<(NumaNodeId, u64)> {
    let Ok(Amount(total)) = total.value else { return Vec::new() };
    let weights: Vec<u64> = of.values().copied().collect();
    of.keys().copied().zip(apportion(total, &weights)).collect()
}

/// Divides a total in proportion to weights without losing a unit: whole parts first, then one unit
/// each for the largest remainders, the earlier first. Without any weight the parts are equal.
pub fn apportion(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if sum == 0 && !weights.is_empty() {
        return apportion(total, &vec![1; weights.len()]);
    }
    let product = |weight: &u64| u128::from(total) * u128::from(*weight);
    // A part is at most the total.
    let mut parts: Vec<u64> = weights.iter().map(|w| (product(w) / sum) as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|idx| std::cmp::Reverse(product(&weights[*idx]) % sum));
    let left = total - parts.iter().sum::<u64>();
    let n_left = usize::try_from(left).unwrap_or(usize::MAX);
    for idx in order.into_iter().take(if weights.is_empty() { 0 } else { n_left }) {
        parts[idx] += 1;
    }
    parts
}

#[cfg(test)]
mod tests;
