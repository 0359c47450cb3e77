//! How much memory all reclaimed work may have: `memory.max` and `memory.high` of its root.
//!
//! # Problem
//! Reclaimed work that grows takes the last free memory of a node before anybody can react, and then
//! a service waits for the kernel to find some.
//!
//! # Units
//! Bytes.
//!
//! # Approach
//! On each node reclaimed work may have what it has, and what is free beyond `keep_free` or the low
//! watermark, where that is more. The sum is `memory.max`; `memory.high`, at which the kernel slows
//! it down, is a part of it, rounded down. What it already has is always allowed, so the limit by
//! itself never kills.
//!
//! # Worked example
//! Four nodes, each 120 GiB with 60 free, 6 used by reclaimed work, low watermark 500 ten-thousandths
//! of 120 = 6: 4 * (6 + 60 - 6) = 240 GiB. With a watermark of 20 from `/proc/zoneinfo`:
//! 4 * (6 + 60 - 20) = 184 GiB, and high is 0.95 of that.
//!
//! # Limits
//! The limit follows the last measurement; between two of them a service may take what was counted as
//! free.

use std::collections::BTreeMap;

use model::headroom::{Absent, Explained, Unit};
use model::measured::{Measured, NodeMemory};
use model::memory::MemoryPolicy;
use model::{Bytes, NumaNodeId};

use super::low_watermark;
use crate::layout::Layout;

/// What should stand on the root of reclaimed work.
#[derive(Clone, Debug, PartialEq)]
pub enum Guard {
    /// The guard is off: `max`.
    Unlimited,
    /// Nothing is known that a limit could follow: what stands, stands.
    LeaveAlone(Absent),
    Limit(GuardLimit),
}

#[derive(Clone, Debug, PartialEq)]
pub struct GuardLimit {
    /// `memory.max`.
    pub max: Bytes,
    /// `memory.high`.
    pub high: Bytes,
    /// The part of each node, for the root of pods bound to it.
    pub per_node: BTreeMap<NumaNodeId, Bytes>,
    /// How `max` came about.
    pub explained: Explained,
}

/// Decides the limit.
pub fn guard(policy: &MemoryPolicy, layout: &Layout, measured: &Measured) -> Guard {
    if !policy.guard.enabled {
        return Guard::Unlimited;
    }
    let (mut used_sum, mut free_sum, mut kept_sum) = (0i128, 0i128, 0i128);
    let mut per_node = BTreeMap::new();
    for id in layout.nodes_with_memory().iter() {
        let Some((node, used)) = known(measured, id) else {
            let what = format!("what reclaimed work has on NUMA node {id}");
            return Guard::LeaveAlone(Absent::NotMeasured { what });
        };
        let kept = policy.guard.keep_free.max(low_watermark(node, policy.watermark_scale));
        let beyond = node.free.0.saturating_sub(kept.0);
        per_node.insert(id, Bytes(used.0.saturating_add(beyond)));
        used_sum += i128::from(used.0);
        free_sum += i128::from(node.free.0);
        kept_sum += i128::from(node.free.0 - beyond);
    }
    let mut explained = Explained::new(Unit::Bytes);
    explained.add("reclaimed_use", used_sum, "what reclaimed work has");
    explained.add("free", free_sum, "free memory of all nodes");
    explained.add("kept_free", -kept_sum, "keep_free or the low watermark of each node");
    let max = Bytes(explained.value.clone().unwrap_or_default().0);
    let high = part(max, policy.guard.high_percent);
    Guard::Limit(GuardLimit { max, high, per_node, explained })
}

fn known(measured: &Measured, id: NumaNodeId) -> Option<(&NodeMemory, Bytes)> {
    let node = measured.memory.get(&id)?;
    Some((node, node.reclaimed_used?))
}

/// Hundredths, rounded down.
fn part(of: Bytes, percent: u8) -> Bytes {
    let part = u128::from(of.0) * u128::from(percent.min(100)) / 100;
    Bytes(u64::try_from(part).unwrap_or(u64::MAX))
}
