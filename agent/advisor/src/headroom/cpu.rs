//! CPU for reclaimed work, now.
//!
//! # Problem
//! Reclaimed work runs in the reclaim pool, which others may use too. What it can have is what they
//! leave, and it seldom uses all it asked for.
//!
//! # Units
//! Thousandths of a CPU.
//!
//! # Approach
//! 1. A node's *supply* is its CPUs of the reclaim pool, less the time they were busy, plus what
//!    reclaimed work used of it; never more than the CPUs. What a pod used on each node is not known:
//!    it counts where the pool was busy.
//! 2. Nodes with bound reclaimed pods are areas of their own, all others are one. Limits that stand on
//!    single nodes, on the others, then the one on all cut the supply.
//! 3. With overselling, below the target utilisation more is told than was told before, over the
//!    upper one less: `last + supply * (target - util)`, at least the supply, at most `max_oversold`
//!    times it; and the total at most a part of the machine.
//!
//! More use by others never makes it more: it lowers the supply, and with it every bound above.
//!
//! # Worked example
//! 10 CPUs busy for 0.8 with reclaimed work using 1: 10 - 8 + 1 = 3. Target 0.6, 10 told before:
//! 10 + 3 * (0.6 - 0.333) = 10.8, at most 3 * 1.5 = 4.5.
//!
//! # Limits
//! A CPU that was not measured gives nothing, a pod that was not measured counts as using nothing:
//! both make the supply smaller, and the terms name them.

use std::collections::BTreeMap;

use model::headroom::{Absent, Amount, CpuOversell, Explained, ReclaimQuota, Unit};
use model::ledger::{Place, Resident};
use model::qos::PoolName;
use model::{CpuSet, MilliCpu, NumaNodeId};

use super::{HeadroomInput, Momentary, apportion};
use crate::layout::Layout;

/// One node's part of the reclaim pool.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    id: NumaNodeId,
    /// A node of bound reclaimed pods.
    is_bound: bool,
    capacity: u64,
    busy: u64,
    /// Of CPUs that were not measured.
    unmeasured: u64,
    used: u64,
    supply: u64,
}

/// What reclaimed pods use.
#[derive(Debug, Default)]
struct Use {
    /// By the node they are bound to; `None` are all others.
    by_area: BTreeMap<Option<NumaNodeId>, u64>,
    n_pods: usize,
    n_measured: usize,
}

/// CPU that reclaimed work could take now.
pub fn momentary(input: &HeadroomInput<'_>) -> Momentary {
    let pool = input.pools.get(PoolName::RECLAIM).map_or(CpuSet::EMPTY, |pool| pool.cpus);
    let mut parts = parts(input, &pool);
    let used = used(input, &parts);
    if let Some(what) = unknown(&pool, &parts, &used) {
        let reason = Absent::NotMeasured { what };
        let explained = Explained::absent(Unit::MilliCpu, reason);
        return Momentary { explained, per_node: BTreeMap::new() };
    }
    supply(&mut parts, &used);
    let mut explained = Explained::new(Unit::MilliCpu);
    tell(&mut explained, &pool, &parts, &used);
    limit(input, &mut explained, &mut parts);
    let told = match &input.policy.cpu_oversell {
        Some(oversell) => oversold(input, oversell, &mut explained, &parts),
        None => parts.iter().map(|part| part.supply).collect(),
    };
    let per_node = parts.iter().map(|part| part.id).zip(told).collect();
    Momentary { explained: explained.settled(), per_node }
}

fn parts(input: &HeadroomInput<'_>, pool: &CpuSet) -> Vec<Part> {
    let of = |(id, cpus): (NumaNodeId, CpuSet)| {
        let mut part = Part { id, ..Part::default() };
        part.is_bound = input.tally.reclaim_bound.contains(id);
        for cpu in cpus.iter() {
            part.capacity += 1000;
            match input.measured.cpu_busy_ratio.get(&cpu).filter(|ratio| ratio.is_finite()) {
                Some(ratio) => part.busy += (ratio.clamp(0.0, 1.0) * 1000.0).round() as u64,
                None => part.unmeasured += 1000,
            }
        }
        part
    };
    input.placement.layout.per_node(pool).into_iter().map(of).collect()
}

fn used(input: &HeadroomInput<'_>, parts: &[Part]) -> Use {
    let mut used = Use::default();
    let pods = input.placement.ledger.pods.iter();
    for (uid, resident) in pods.filter(|(_, one)| one.ask.level.is_reclaimed()) {
        used.n_pods += 1;
        if let Some(cpu) = input.measured.pods.get(uid).and_then(|measure| measure.cpu) {
            used.n_measured += 1;
            let sum = used.by_area.entry(area_of(resident, parts)).or_default();
            *sum = sum.saturating_add(cpu.0);
        }
    }
    used
}

/// A pod that is bound to a node without a part runs in the whole pool.
fn area_of(resident: &Resident, parts: &[Part]) -> Option<NumaNodeId> {
    let Place::Node(node) = resident.place else { return None };
    parts.iter().any(|part| part.id == node && part.is_bound).then_some(node)
}

fn unknown(pool: &CpuSet, parts: &[Part], used: &Use) -> Option<String> {
    let any_measured = parts.iter().any(|part| part.unmeasured < part.capacity);
    match (pool.is_empty() || any_measured, used.n_pods > 0 && used.n_measured == 0) {
        (false, _) => Some(format!("how busy CPUs {pool} of the reclaim pool are")),
        (true, true) => Some("the CPU use of reclaimed pods".to_owned()),
        (true, false) => None,
    }
}

/// The area of a node: itself, or all nodes without bound reclaimed pods.
fn area(part: &Part) -> Option<NumaNodeId> {
    part.is_bound.then_some(part.id)
}

/// Spreads use over the nodes of its area, then sums up each node.
fn supply(parts: &mut [Part], used: &Use) {
    for (of, cpu) in &used.by_area {
        let here = |part: &&mut Part| area(part) == *of;
        let busy: Vec<u64> = parts.iter_mut().filter(here).map(|part| part.busy).collect();
        let most = busy.iter().sum();
        let shares = apportion((*cpu).min(most), &busy);
        for (part, share) in parts.iter_mut().filter(here).zip(shares) {
            part.used = share;
        }
    }
    for part in parts {
        let taken = part.busy.saturating_add(part.unmeasured).saturating_sub(part.used);
        part.supply = part.capacity.saturating_sub(taken);
    }
}

fn sum(parts: &[Part], of: impl Fn(&Part) -> u64) -> u64 {
    parts.iter().map(of).sum()
}

fn tell(explained: &mut Explained, pool: &CpuSet, parts: &[Part], used: &Use) {
    let all = |of: fn(&Part) -> u64| i128::from(sum(parts, of));
    let capacity = all(|part| part.capacity);
    explained.add("reclaim_pool", capacity, format!("CPUs {pool} of the reclaim pool"));
    explained.add("busy", -all(|part| part.busy), "time these CPUs were not idle");
    let unmeasured = all(|part| part.unmeasured);
    if unmeasured > 0 {
        explained.add("not_measured", -unmeasured, "CPUs of which nothing is known");
    }
    let (n_pods, n_measured) = (used.n_pods, used.n_measured);
    let from = format!("use of reclaimed pods, {n_measured} of {n_pods} measured");
    explained.add("reclaimed_use", all(|part| part.used), from);
}

/// Limits on single nodes and on the others, then the one on all.
fn limit(input: &HeadroomInput<'_>, explained: &mut Explained, parts: &mut [Part]) {
    let per_node = &input.quota.per_node;
    for part in parts.iter_mut() {
        part.supply = part.supply.min(per_node.get(&part.id).map_or(u64::MAX, |quota| quota.0));
    }
    let total = sum(parts, |part| part.supply);
    explained.lead_to("node_quota", Amount(total), "limits on reclaimed work of single nodes");
    hold(parts, input.quota.rest, |part| !per_node.contains_key(&part.id));
    let total = sum(parts, |part| part.supply);
    explained.lead_to("rest_quota", Amount(total), "the limit on reclaimed work of other nodes");
    hold(parts, input.quota.whole, |_| true);
    let total = sum(parts, |part| part.supply);
    explained.lead_to("quota", Amount(total), "the limit on all reclaimed work");
}

/// Cuts the supply of some parts to a limit, in proportion.
fn hold(parts: &mut [Part], quota: Option<MilliCpu>, of: impl Fn(&Part) -> bool) {
    let mut members: Vec<&mut Part> = parts.iter_mut().filter(|part| of(part)).collect();
    let supplies: Vec<u64> = members.iter().map(|part| part.supply).collect();
    let Some(quota) = quota.filter(|quota| quota.0 < supplies.iter().sum()) else { return };
    for (part, share) in members.iter_mut().zip(apportion(quota.0, &supplies)) {
        part.supply = share;
    }
}

/// Limits by the reclaim pool they stand on: the pool itself, or its part on a node.
pub fn quota_by_pool(layout: &Layout, quotas: &BTreeMap<PoolName, MilliCpu>) -> ReclaimQuota {
    let pool = PoolName::from(PoolName::RECLAIM);
    let on = |node: &crate::layout::Node| Some((node.id, *quotas.get(&pool.on_node(node.id))?));
    let per_node = layout.nodes.iter().filter_map(on).collect();
    ReclaimQuota { whole: None, per_node, rest: quotas.get(&pool).copied() }
}

/// What may be told beyond the supply, by part.
fn oversold(
    input: &HeadroomInput<'_>,
    rule: &CpuOversell,
    explained: &mut Explained,
    parts: &[Part],
) -> Vec<u64> {
    let mut areas: BTreeMap<Option<NumaNodeId>, Vec<&Part>> = BTreeMap::new();
    for part in parts {
        areas.entry(area(part)).or_default().push(part);
    }
    let (mut wished, mut told) = (0u64, BTreeMap::new());
    for members in areas.values() {
        let (wish, bounded) = area_oversold(input, rule, members);
        wished = wished.saturating_add(wish);
        let weights: Vec<u64> = members.iter().map(|part| part.supply).collect();
        let shares = apportion(bounded, &weights);
        told.extend(members.iter().map(|part| part.id).zip(shares));
    }
    let from = format!("told before, moved to a utilisation of {}", rule.target_util);
    explained.lead_to("oversold", Amount(wished), from);
    let total = told.values().copied().fold(0, u64::saturating_add);
    let from = format!("at most {} times the supply", rule.max_oversold);
    explained.lead_to("max_oversold", Amount(total), from);
    let capacity = input.placement.layout.n_online as f64 * 1000.0;
    let most = scaled(capacity, rule.max_capacity);
    let told: Vec<u64> = told.into_values().collect();
    if total <= most {
        return told;
    }
    explained.lead_to("capacity", Amount(most), format!("{} of all CPUs", rule.max_capacity));
    apportion(most, &told)
}

/// One area: the wish, and what the bounds leave of it.
fn area_oversold(input: &HeadroomInput<'_>, rule: &CpuOversell, members: &[&Part]) -> (u64, u64) {
    let supply: u64 = members.iter().map(|part| part.supply).sum();
    let used: u64 = members.iter().map(|part| part.used).sum();
    let before = members.iter().map(|part| input.state.cpu_per_numa.get(&part.id));
    let is_first = input.state.cpu_per_numa.is_empty();
    let last = if is_first { supply } else { before.flatten().map(|cpu| cpu.0).sum() };
    let (supply_f, used_f) = (supply as f64, used as f64);
    // supply * (target - used / supply), without the division.
    let distance = |util: f64| supply_f * util - used_f;
    let moved = match rule.max_util {
        _ if distance(rule.target_util) > 0.0 => distance(rule.target_util),
        Some(max) if max > 0.0 && distance(max) < 0.0 => distance(max),
        _ => 0.0,
    };
    let wish = (last as f64 + moved).round().max(0.0) as u64;
    let wish = wish.max(supply);
    (wish, wish.min(scaled(supply_f, rule.max_oversold)))
}

/// Floats of a policy reach an amount here: what is not a number is nothing.
fn scaled(amount: f64, ratio: f64) -> u64 {
    (amount * ratio).round().max(0.0) as u64
}
