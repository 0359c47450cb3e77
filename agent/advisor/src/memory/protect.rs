//! What the kernel keeps for shared and dedicated pods: `memory.min` and `memory.low`.
//!
//! # Problem
//! Without protection the page cache of a service goes when batch work reads a large file. Too much
//! `memory.min` is worse: memory that nobody may reclaim ends in an OOM kill.
//!
//! # Units
//! Bytes, percents of the request.
//!
//! # Approach
//! A pod wishes a part of its request as `memory.min`, and another as `memory.low`. The wish for min
//! counts on the pod's memory nodes in proportion to their size; where the wishes on a node are more
//! than its memory less `keep`, each part there is cut in proportion, rounded down. So the mins of
//! the pods bound to a node never exceed it, and all mins together never exceed the machine.
//! `memory.low` is not cut: the kernel itself divides what there is.
//!
//! # Worked example
//! A node of 10 GiB, 1 kept; two pods bound to it ask 6 and 12, min is 100 %: 18 are wished, 9 are
//! there, they get 3 and 6.
//!
//! # Limits
//! Protection works only if every group above has at least the sum, which is told with it. Where the
//! kernel does not say how large a node is, nothing is protected by min.

use std::collections::BTreeMap;

use model::Bytes;
use model::ledger::{Ledger, Resident};
use model::memory::ProtectionPolicy;
use model::qos::{PodUid, QosLevel};

use crate::headroom::apportion;
use crate::layout::Layout;
use crate::pool::mems_of;
use crate::tally::Tally;

/// What is kept for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protections {
    pub pods: BTreeMap<PodUid, Protection>,
    /// For the groups above.
    pub all: Protection,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// `memory.min`.
    pub min: Bytes,
    /// `memory.low`, never less than min.
    pub low: Bytes,
}

/// The protection of every shared and dedicated pod; empty when the policy is off.
pub fn protect(
    policy: &ProtectionPolicy,
    layout: &Layout,
    tally: &Tally,
    ledger: &Ledger,
) -> Protections {
    let mut all = Protections::default();
    if !policy.enabled {
        return all;
    }
    let kept =
        |one: &&Resident| matches!(one.ask.level, QosLevel::SharedCores | QosLevel::DedicatedCores);
    let pods: Vec<&Resident> = ledger.pods.values().filter(kept).collect();
    let wishes: Vec<Vec<u64>> = pods.iter().map(|one| wish(policy, layout, tally, one)).collect();
    let caps: Vec<u64> = layout.nodes.iter().map(|node| cap(policy, node.size)).collect();
    let on = |idx: usize| wishes.iter().map(|wish| u128::from(wish[idx])).sum::<u128>();
    let sums: Vec<u128> = (0..caps.len()).map(on).collect();
    for (one, wish) in pods.iter().zip(&wishes) {
        let parts = wish.iter().zip(&caps).zip(&sums);
        let min: u64 = parts.map(|((part, cap), sum)| cut(*part, *cap, *sum)).sum();
        let low = percent(one.ask.memory, policy.low_percent).max(min);
        all.all.min.0 = all.all.min.0.saturating_add(min);
        all.all.low.0 = all.all.low.0.saturating_add(low);
        all.pods.insert(one.ask.uid.clone(), Protection { min: Bytes(min), low: Bytes(low) });
    }
    all
}

/// What may be promised on a node.
fn cap(policy: &ProtectionPolicy, size: Option<Bytes>) -> u64 {
    size.map_or(0, |size| size.0.saturating_sub(policy.keep.0))
}

/// A pod's wish by position of node.
fn wish(policy: &ProtectionPolicy, layout: &Layout, tally: &Tally, one: &Resident) -> Vec<u64> {
    let mems = mems_of(layout, tally, one);
    let size = |node: &crate::layout::Node| match mems.contains(node.id) {
        true => node.size.map_or(0, |size| size.0),
        false => 0,
    };
    let sizes: Vec<u64> = layout.nodes.iter().map(size).collect();
    match sizes.iter().all(|size| *size == 0) {
        true => vec![0; sizes.len()],
        false => apportion(percent(one.ask.memory, policy.min_percent), &sizes),
    }
}

/// A part of what is wished by all, where that is too much.
fn cut(part: u64, cap: u64, sum: u128) -> u64 {
    if sum <= u128::from(cap) {
        return part;
    }
    // At most the part, since the cap is less than the sum.
    (u128::from(part) * u128::from(cap) / sum) as u64
}

fn percent(of: Bytes, percent: u8) -> u64 {
    // At most the whole.
    (u128::from(of.0) * u128::from(percent.min(100)) / 100) as u64
}
