//! Which memory nodes reclaimed pods leave under pressure.
//!
//! # Problem
//! A NUMA node runs out of memory while others have some. A service bound to it cannot go elsewhere,
//! reclaimed work can.
//!
//! # Units
//! Bytes; thresholds in hundredths of the low watermark.
//!
//! # Approach
//! A node is under pressure at once when less than `enter_percent` of its low watermark is free. It
//! is calm again when `calm_percent` has been free for `calm_for` without a break; a node that is not
//! measured stays as it was. Reclaimed pods have their nodes without those under pressure; where none
//! would be left they keep all of them, since an empty `cpuset.mems` is refused and one full node is
//! no better than another.
//!
//! # Worked example
//! Four nodes, node 0 under pressure: reclaimed pods have 1-3. Nodes 0 and 1: 2-3. A pod bound to
//! node 0 keeps it.
//!
//! # Limits
//! A change of `cpuset.mems` moves pages only where `cpuset` migrates memory; pages that stay are
//! freed when the pod frees them.

use model::ledger::Resident;
use model::measured::{Measured, NodeMemory};
use model::memory::{BinderState, MemoryPolicy, Pressured};
use model::{NumaSet, Timestamp};

use super::low_watermark;
use crate::layout::Layout;
use crate::pool::mems_of;
use crate::tally::Tally;

/// Which nodes are under pressure after this measurement.
pub fn observe(
    policy: &MemoryPolicy,
    state: &BinderState,
    measured: &Measured,
    now: Timestamp,
) -> BinderState {
    if !policy.binder.enabled {
        return BinderState::default();
    }
    let mut next = state.clone();
    for (id, node) in &measured.memory {
        let before = state.pressured.get(id);
        match judge(policy, node, before, now) {
            Some(pressured) => _ = next.pressured.insert(*id, pressured),
            None => _ = next.pressured.remove(id),
        }
    }
    next
}

fn judge(
    policy: &MemoryPolicy,
    node: &NodeMemory,
    before: Option<&Pressured>,
    now: Timestamp,
) -> Option<Pressured> {
    let low = u128::from(low_watermark(node, policy.watermark_scale).0);
    let free = u128::from(node.free.0) * 100;
    if free < low * u128::from(policy.binder.enter_percent) {
        return Some(Pressured { calm_since: None });
    }
    let before = before?;
    if free < low * u128::from(policy.binder.calm_percent) {
        return Some(Pressured { calm_since: None });
    }
    let since = before.calm_since.unwrap_or(now);
    (now.since(since) < policy.binder.calm_for).then_some(Pressured { calm_since: Some(since) })
}

/// The memory nodes of a resident under this pressure; never empty where there is memory.
pub fn mems(layout: &Layout, tally: &Tally, state: &BinderState, resident: &Resident) -> NumaSet {
    let all = mems_of(layout, tally, resident);
    if !resident.ask.level.is_reclaimed() {
        return all;
    }
    let pressured: NumaSet = state.pressured.keys().copied().collect();
    let left = all.difference(pressured);
    if left.is_empty() { all } else { left }
}
