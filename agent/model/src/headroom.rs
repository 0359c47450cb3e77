//! What reclaimed work may still take: the values, what the operator wants of them, and what has to
//! be remembered from one tick to the next. How they come about is `advisor::headroom`.

use std::collections::BTreeMap;

pub use crate::explained::{Absent, Amount, Explained, Term, Unit};

use crate::units::{Bytes, MilliCpu, Nanos, NumaNodeId, Timestamp};

/// Samples a window may have: far over what smooths anything, and a bound on what is remembered.
pub const MAX_SAMPLES: usize = 64;

/// What reclaimed work may take altogether, what it already has included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Thousandths of a CPU (`reclaimed_millicpu`).
    pub cpu: Explained,
    /// Bytes (`reclaimed_memory`).
    pub memory: Explained,
    /// Adds up to the totals, to the unit. A node that reclaimed work has no part of is not listed.
    pub per_numa: BTreeMap<NumaNodeId, NodeHeadroom>,
}

/// The part of one NUMA node; `None` as long as the total is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeHeadroom {
    pub cpu: Option<MilliCpu>,
    pub memory: Option<Bytes>,
}

/// Limits that stand on reclaimed work as a whole; `None` and absent nodes are unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReclaimQuota {
    pub whole: Option<MilliCpu>,
    /// On reclaimed work of one node.
    pub per_node: BTreeMap<NumaNodeId, MilliCpu>,
    /// On that of all nodes without a limit of their own, together.
    pub rest: Option<MilliCpu>,
}

/// What the operator wants of headroom.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadroomPolicy {
    /// Nothing is promised from a measurement older than this.
    pub max_age: Nanos,
    /// `None`: no more is promised than is there.
    pub cpu_oversell: Option<CpuOversell>,
    pub cpu_report: ReportPolicy,
    pub memory: MemoryEstimate,
    pub memory_report: ReportPolicy,
}

/// Promising more than the supply because reclaimed work does not use all it asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuOversell {
    /// Utilisation of the supply that is aimed at; more is promised below it.
    pub target_util: f64,
    /// Less is promised over this utilisation.
    pub max_util: Option<f64>,
    /// At most so many times the supply.
    pub max_oversold: f64,
    /// At most this part of the machine's CPUs.
    pub max_capacity: f64,
}

/// How memory for reclaimed work is estimated.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryEstimate {
    /// Kept for pods to come.
    pub reserve: Bytes,
    pub rule: MemoryRule,
    /// `watermark_scale_factor` of the kernel, in ten-thousandths of memory, where `/proc/zoneinfo`
    /// was not read.
    pub watermark_scale: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryRule {
    /// Memory less what others need.
    Canonical,
    /// That, and what is free beyond it.
    Util { free_ratio: f64, cache_ratio: f64, buffer: Bytes },
    /// What is free on each node that reclaimed work may use.
    NumaAware { cache_ratio: f64, growth_ratio: f64, max_oversold: f64 },
}

/// From a momentary value to the one that is told.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportPolicy {
    pub window: WindowPolicy,
    /// Not told.
    pub reserve: Amount,
    /// Told at least, as far as it is there.
    pub floor: Amount,
    /// Less is told as zero.
    pub ignore_below: Amount,
}

/// Smoothing.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowPolicy {
    /// Samples; nothing is told before there are so many. 1..=`MAX_SAMPLES`.
    pub size: usize,
    /// A sample counts for so long.
    pub ttl: Nanos,
    /// Time from one sample to the next.
    pub every: Nanos,
    pub smooth: Smooth,
    /// Smaller changes are not followed.
    pub min_step: Amount,
    /// Larger ones are followed by this much.
    pub max_step: Amount,
}

/// What stands for the samples of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smooth {
    Average,
    /// So many percent of the samples are smaller; 0 is the smallest.
    Percentile(u8),
}

/// What the next tick has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadroomState {
    pub cpu: WindowState,
    pub memory: WindowState,
    /// CPU that was told last.
    pub cpu_per_numa: BTreeMap<NumaNodeId, MilliCpu>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowState {
    /// Oldest first.
    pub samples: Vec<WindowSample>,
    /// The smallest value since the last sample.
    pub lowest: Option<Amount>,
    /// What the window gave last.
    pub last: Option<Amount>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSample {
    pub at: Timestamp,
    pub value: Amount,
}

impl Headroom {
    /// Every term of both totals, then the parts of the nodes.
    pub fn text(&self) -> String {
        let mut text = format!("CPU\n{}memory\n{}", self.cpu.text(), self.memory.text());
        for (id, part) in &self.per_numa {
            let known =
                |part: Option<u64>| part.map_or_else(|| "?".to_owned(), |part| part.to_string());
            let cpu = known(part.cpu.map(|cpu| cpu.0));
            let memory = known(part.memory.map(|memory| memory.0));
            text.push_str(&format!("NUMA node {id}: {cpu} mCPU, {memory} bytes\n"));
        }
        text
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Default for HeadroomPolicy {
    fn default() -> Self {
        HeadroomPolicy {
            // Two of the slowest ticks.
            max_age: Nanos::from_secs(6),
            cpu_oversell: None,
            cpu_report: ReportPolicy {
                window: WindowPolicy::with_steps(Amount(300), Amount(4000)),
                reserve: Amount(0),
                floor: Amount(0),
                // A tenth of a CPU runs nothing.
                ignore_below: Amount(100),
            },
            memory: MemoryEstimate {
                reserve: Bytes(5 * GIB),
                rule: MemoryRule::Canonical,
                // The kernel's default, mm/page_alloc.c.
                watermark_scale: 10,
            },
            memory_report: ReportPolicy {
                window: WindowPolicy::with_steps(Amount(300 * MIB), Amount(5 * GIB)),
                reserve: Amount(0),
                floor: Amount(0),
                ignore_below: Amount(100 * MIB),
            },
        }
    }
}

impl Default for CpuOversell {
    fn default() -> Self {
        CpuOversell { target_util: 0.6, max_util: None, max_oversold: 1.2, max_capacity: 1.0 }
    }
}

impl WindowPolicy {
    /// Two minutes in four samples, and the smallest of them: the average of a supply that goes up
    /// and down is more than there is half of the time.
    pub const fn with_steps(min_step: Amount, max_step: Amount) -> WindowPolicy {
        WindowPolicy {
            size: 4,
            ttl: Nanos::from_secs(150),
            every: Nanos::from_secs(30),
            smooth: Smooth::Percentile(0),
            min_step,
            max_step,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_term_and_every_node() {
        let mut cpu = Explained::new(Unit::MilliCpu);
        cpu.add("pool", 4000, "CPUs 0-3");
        cpu.add("busy", -1500, "measured");
        let what = "the memory of NUMA node 1".to_owned();
        let memory = Explained::absent(Unit::Bytes, Absent::NotMeasured { what });
        let part = |cpu| NodeHeadroom { cpu: Some(MilliCpu(cpu)), memory: None };
        let per_numa = BTreeMap::from([(NumaNodeId(0), part(1500)), (NumaNodeId(1), part(1000))]);
        let text = Headroom { cpu, memory, per_numa }.text();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        assert_eq!(
            lines,
            [
                "CPU",
                "+4000 mCPU pool: CPUs 0-3",
                "-1500 mCPU busy: measured",
                "= 2500 mCPU",
                "memory",
                "= not known: not measured: the memory of NUMA node 1",
                "NUMA node 0: 1500 mCPU, ? bytes",
                "NUMA node 1: 1000 mCPU, ? bytes",
            ]
        );
    }
}
