//! What the operator wants of memory, and what has to be remembered of it from one tick to the next.
//! The rules are in `advisor::memory`.

use std::collections::BTreeMap;

use crate::units::{Bytes, Nanos, NumaNodeId, Timestamp};

/// Rules of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPolicy {
    pub guard: GuardPolicy,
    pub binder: BinderPolicy,
    pub protection: ProtectionPolicy,
    /// Whether `oom_score_adj` follows the priorities of pods.
    pub oom_priority: bool,
    /// `watermark_scale_factor` of the kernel, in ten-thousandths of memory, where `/proc/zoneinfo`
    /// was not read.
    pub watermark_scale: u32,
}

/// The limit on all reclaimed work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardPolicy {
    pub enabled: bool,
    /// Stays free on every node, or the low watermark where that is more.
    pub keep_free: Bytes,
    /// `memory.high` in hundredths of `memory.max`, 1..=100.
    pub high_percent: u8,
}

/// Moving reclaimed work away from a node that runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinderPolicy {
    pub enabled: bool,
    /// A node is under pressure when less than this is free, in hundredths of its low watermark.
    pub enter_percent: u32,
    /// Pressure ends when so much is free.
    pub calm_percent: u32,
    /// And has been for so long.
    pub calm_for: Nanos,
}

/// `memory.min` and `memory.low` of shared and dedicated pods, in hundredths of their request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectionPolicy {
    pub enabled: bool,
    /// Never reclaimed, 0..=100.
    pub min_percent: u8,
    /// Reclaimed last, 0..=100.
    pub low_percent: u8,
    /// On every node so much is promised to nobody.
    pub keep: Bytes,
}

/// Nodes under pressure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BinderState {
    pub pressured: BTreeMap<NumaNodeId, Pressured>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressured {
    /// Since when enough has been free.
    pub calm_since: Option<Timestamp>,
}

const GIB: u64 = 1 << 30;

impl Default for MemoryPolicy {
    fn default() -> Self {
        MemoryPolicy {
            guard: GuardPolicy { enabled: false, keep_free: Bytes(4 * GIB), high_percent: 95 },
            binder: BinderPolicy {
                enabled: false,
                // Katalyst's second stage, before the kernel itself begins to reclaim.
                enter_percent: 200,
                // Reclaimed work that comes back takes some of it.
                calm_percent: 400,
                // Moving pages costs more than a minute of waiting.
                calm_for: Nanos::from_secs(60),
            },
            protection: ProtectionPolicy {
                enabled: false,
                min_percent: 0,
                low_percent: 100,
                keep: Bytes(GIB),
            },
            oom_priority: false,
            // The kernel's default, mm/page_alloc.c.
            watermark_scale: 10,
        }
    }
}
