//! Memory for reclaimed work, now.
//!
//! # Problem
//! Memory that is given cannot be taken back at once, and what is used by whom is only known in
//! parts. Promised is what is left beyond the needs of others, and never more than what is there.
//!
//! # Units
//! Bytes.
//!
//! # Approach
//! Only nodes count on which reclaimed pods may have memory: those without NUMA-bound pods, and those
//! that reclaimed pods are bound to. Then one of three rules:
//! - *canonical*: memory, less the reserve, less what others need: a tenth more than shared and
//!   dedicated pods have, what system pods have. A pod that was not measured needs 8 GiB, or its
//!   request where that is more.
//! - *util*: the same, and a part of what is free beyond it.
//! - *numa-aware*: what is free (with a part of the file cache) and what reclaimed work has already,
//!   less watermarks, reserve and the growth of others; times what reclaimed pods ask over what they
//!   use, within bounds.
//!
//! The first two are cut to what is there: free, inactive file cache, and what reclaimed work has.
//!
//! # Worked example
//! 96 GiB, reserve 10, shared pods have 20: 96 - 10 - 20 * 1.1 = 64. With util and a buffer of 20,
//! although little is free, 84 would be told; with 40 free it is 40.
//!
//! # Limits
//! Active file cache counts as used. What reclaimed pods have on nodes that they may not use is not
//! known by node and counts where it was measured.

use std::collections::BTreeMap;

use model::headroom::{Absent, Amount, Explained, MemoryRule, Unit};
use model::ledger::Resident;
use model::measured::{NodeMemory, PodMeasure};
use model::qos::QosLevel;
use model::{Bytes, NumaNodeId, NumaSet};

use super::{HeadroomInput, Momentary};
use crate::pool::mems_of;

/// What a pod needs of which nothing is known: Katalyst's fallback.
const UNKNOWN_POD: u64 = 8 << 30;

/// Sums over the nodes that count.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    total: u64,
    free: u64,
    inactive_file: u64,
    reclaimed: u64,
    watermark: u64,
}

/// Sums over pods that are not reclaimed.
#[derive(Clone, Copy, Debug, Default)]
struct Needs {
    /// What shared and dedicated pods have.
    used: u64,
    /// A tenth of it, rounded up.
    margin: u64,
    system_rss: u64,
    system_cache: u64,
    unmeasured: u64,
    n_unmeasured: usize,
    /// What they may still take of their requests.
    growth: u64,
}

/// Memory that reclaimed work could take now.
pub fn momentary(input: &HeadroomInput<'_>) -> Momentary {
    let scope = scope(input);
    let (room, per_node) = match room(input, scope) {
        Ok(room) => room,
        Err(reason) => {
            let explained = Explained::absent(Unit::Bytes, reason);
            return Momentary { explained, per_node: BTreeMap::new() };
        }
    };
    let mut explained = wished(input, scope, &room);
    let there = there(&room);
    let bounded = !matches!(input.policy.memory.rule, MemoryRule::NumaAware { .. });
    if bounded && explained.sum() > i128::from(there) {
        let from = "free, inactive file cache and what reclaimed work has, over the low watermark";
        explained.lead_to("not_more_than_there", Amount(there), from);
    }
    Momentary { explained, per_node }
}

/// Nodes on which reclaimed pods may have memory.
fn scope(input: &HeadroomInput<'_>) -> NumaSet {
    let layout = input.placement.layout;
    let everywhere = layout.nodes_with_memory();
    let of = |keep: &dyn Fn(usize) -> bool| {
        let kept = layout.nodes.iter().enumerate().filter(|(idx, _)| keep(*idx));
        kept.fold(NumaSet::EMPTY, |all, (_, node)| all.union(node.memory))
    };
    let withheld = of(&|idx| input.tally.nodes[idx].is_bound());
    let own = of(&|idx| input.tally.reclaim_bound.contains(layout.nodes[idx].id));
    let scope = everywhere.difference(withheld).union(own);
    if scope.is_empty() { everywhere } else { scope }
}

fn room(
    input: &HeadroomInput<'_>,
    scope: NumaSet,
) -> Result<(Room, BTreeMap<NumaNodeId, u64>), Absent> {
    let (mut all, mut per_node) = (Room::default(), BTreeMap::new());
    for id in scope.iter() {
        let what = || format!("the memory of NUMA node {id}");
        let node = input.measured.memory.get(&id);
        let node = node.ok_or_else(|| Absent::NotMeasured { what: what() })?;
        let room = room_of(node, input.policy.memory.watermark_scale);
        per_node.insert(id, there(&room));
        all.total = all.total.saturating_add(room.total);
        all.free = all.free.saturating_add(room.free);
        all.inactive_file = all.inactive_file.saturating_add(room.inactive_file);
        all.reclaimed = all.reclaimed.saturating_add(room.reclaimed);
        all.watermark = all.watermark.saturating_add(room.watermark);
    }
    Ok((all, per_node))
}

/// Missing parts of a node's memory make it smaller.
fn room_of(node: &NodeMemory, watermark_scale: u32) -> Room {
    let zero = Bytes(0);
    Room {
        total: node.total.0,
        free: node.free.min(node.total).0,
        inactive_file: node.inactive_file.unwrap_or(zero).0,
        reclaimed: node.reclaimed_used.unwrap_or(zero).0,
        watermark: crate::memory::low_watermark(node, watermark_scale).0,
    }
}

fn there(room: &Room) -> u64 {
    let sum = room.free.saturating_add(room.inactive_file).saturating_add(room.reclaimed);
    sum.saturating_sub(room.watermark).min(room.total)
}

/// What the rule says, before it is compared with what is there.
fn wished(input: &HeadroomInput<'_>, scope: NumaSet, room: &Room) -> Explained {
    let needs = needs(input, scope);
    let memory = &input.policy.memory;
    let reserve = i128::from(memory.reserve.0);
    match memory.rule {
        MemoryRule::Canonical => canonical(scope, room, &needs, reserve),
        MemoryRule::Util { free_ratio, cache_ratio, buffer } => {
            let mut explained = canonical(scope, room, &needs, reserve);
            let beyond = part(room.free, free_ratio)
                - i128::from(room.watermark) * 2
                - i128::from(needs.margin)
                - i128::from(needs.system_cache);
            let beyond = beyond.max(part(room.inactive_file, cache_ratio));
            let from = format!("{free_ratio} of what is free, less needs and watermarks");
            explained.add("free_beyond", beyond, from);
            explained.add("buffer", i128::from(buffer.0), "static_buffer of policy");
            explained
        }
        MemoryRule::NumaAware { cache_ratio, max_oversold, .. } => {
            let mut explained = numa_aware(scope, room, &needs, reserve, cache_ratio);
            oversell(input, room, max_oversold, &mut explained);
            explained
        }
    }
}

fn canonical(scope: NumaSet, room: &Room, needs: &Needs, reserve: i128) -> Explained {
    let mut explained = Explained::new(Unit::Bytes);
    explained.add("memory", i128::from(room.total), format!("NUMA nodes {scope}"));
    explained.add("reserve", -reserve, "kept for pods to come");
    explained.add("pods", -i128::from(needs.used), "rss, cache, shmem of shared and dedicated");
    explained.add("pods_margin", -i128::from(needs.margin), "a tenth of that");
    explained.add("system", -i128::from(needs.system_rss), "rss of system pods");
    if needs.n_unmeasured > 0 {
        let from = format!("{} pods, the request of each or 8 GiB", needs.n_unmeasured);
        explained.add("not_measured", -i128::from(needs.unmeasured), from);
    }
    explained.settled()
}

fn numa_aware(
    scope: NumaSet,
    room: &Room,
    needs: &Needs,
    reserve: i128,
    cache_ratio: f64,
) -> Explained {
    let mut explained = Explained::new(Unit::Bytes);
    explained.add("free", i128::from(room.free), format!("NUMA nodes {scope}"));
    let cache = part(room.inactive_file, cache_ratio);
    explained.add("file_cache", cache, format!("{cache_ratio} of inactive file pages"));
    explained.add("reclaimed_use", i128::from(room.reclaimed), "what reclaimed work has");
    explained.add("watermark", -i128::from(room.watermark), "the kernel's low watermark");
    explained.add("reserve", -reserve, "kept for pods to come");
    explained.add("growth", -i128::from(needs.growth), "what others may take of their requests");
    explained.settled()
}

/// Reclaimed pods use less than they ask for.
fn oversell(input: &HeadroomInput<'_>, room: &Room, most: f64, explained: &mut Explained) {
    let reclaimed = input.placement.ledger.pods.values().filter(|one| one.ask.level.is_reclaimed());
    let asked = reclaimed.map(|one| one.ask.memory.0).fold(0, u64::saturating_add);
    if room.reclaimed == 0 || most <= 1.0 {
        return;
    }
    let ratio = (asked as f64 / room.reclaimed as f64).clamp(1.0, most);
    let value = explained.value.clone().unwrap_or_default();
    let more = u64::try_from(part(value.0, ratio)).unwrap_or(u64::MAX);
    explained.lead_to("oversold", Amount(more), format!("asked over used, {ratio:.3}"));
}

fn needs(input: &HeadroomInput<'_>, scope: NumaSet) -> Needs {
    let mut needs = Needs::default();
    let growth_ratio = match input.policy.memory.rule {
        MemoryRule::NumaAware { growth_ratio, .. } => growth_ratio,
        _ => 0.0,
    };
    for (uid, resident) in &input.placement.ledger.pods {
        let mems = mems_of(input.placement.layout, input.tally, resident);
        let elsewhere = mems.intersection(scope).is_empty();
        if !resident.ask.level.is_reclaimed() && !elsewhere {
            count(&mut needs, resident, input.measured.pods.get(uid), growth_ratio);
        }
    }
    needs.margin = needs.used.div_ceil(10);
    needs
}

fn count(needs: &mut Needs, resident: &Resident, measure: Option<&PodMeasure>, growth_ratio: f64) {
    let request = resident.ask.memory.0;
    let Some(Bytes(rss)) = measure.and_then(|measure| measure.rss) else {
        needs.n_unmeasured += 1;
        needs.unmeasured = needs.unmeasured.saturating_add(UNKNOWN_POD.max(request));
        needs.growth = needs.growth.saturating_add(request);
        return;
    };
    // Cache and shmem of a pod whose rss is known are read from the same file.
    let of = |part: Option<Bytes>| part.unwrap_or_default().0;
    let rest = measure.map_or(0, |one| of(one.cache).saturating_add(of(one.shmem)));
    let used = rss.saturating_add(rest);
    let bound = u64::try_from(part(request, growth_ratio)).unwrap_or(u64::MAX);
    needs.growth = needs.growth.saturating_add(request.saturating_sub(used).min(bound));
    match resident.ask.level {
        QosLevel::SystemCores => {
            needs.system_rss = needs.system_rss.saturating_add(rss);
            needs.system_cache = needs.system_cache.saturating_add(rest);
        }
        _ => needs.used = needs.used.saturating_add(used),
    }
}

/// A ratio of an amount, rounded down; what is not a number is nothing.
fn part(amount: u64, ratio: f64) -> i128 {
    (amount as f64 * ratio).floor().max(0.0) as i128
}
