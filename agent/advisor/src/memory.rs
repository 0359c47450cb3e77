//! Decisions about memory: whether a pod's memory fits (`fit`), how much all reclaimed work may have
//! (`guard`), which nodes it leaves under pressure (`binder`), what is kept for others (`protect`) and
//! who is killed first when all fails (`oom`). Where a pod's memory may be at all is
//! `pool::mems_of`. Owns no estimate of what is free for reclaimed work: that is `headroom`.

pub mod binder;
pub(crate) mod fit;
pub mod guard;
pub mod oom;
pub mod protect;

use model::Bytes;
use model::measured::NodeMemory;

/// Under this much free memory the kernel begins to reclaim: as it says itself, else a part of the
/// node's memory, in ten-thousandths.
pub fn low_watermark(node: &NodeMemory, scale: u32) -> Bytes {
    let estimated = || {
        let part = u128::from(node.total.0) * u128::from(scale) / 10_000;
        Bytes(u64::try_from(part).unwrap_or(u64::MAX))
    };
    node.low_watermark.unwrap_or_else(estimated)
}

#[cfg(test)]
mod tests;
