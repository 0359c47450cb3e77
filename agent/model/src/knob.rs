//! The cgroup v2 files the agent writes, as typed values (kernel Documentation/admin-guide/
//! cgroup-v2.rst). Owns values and their text form; who writes what when is `Step`.

mod memory;
mod oom;

use std::collections::BTreeMap;
use std::fmt;

use crate::cpuset::CpuSet;
use crate::numa::NumaSet;
use crate::qos::CgroupPath;
use crate::units::{Micros, Timestamp};

pub use memory::MemoryLimit;
pub use oom::{NoScore, OomScoreAdj};

/// `cpu.weight`, 1..=10000, default 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuWeight(u16);

impl CpuWeight {
    pub const MIN: CpuWeight = CpuWeight(1);
    pub const DEFAULT: CpuWeight = CpuWeight(100);

    /// `None` outside 1..=10000, which the kernel answers with ERANGE.
    pub const fn new(weight: u16) -> Option<CpuWeight> {
        if weight >= 1 && weight <= 10_000 { Some(CpuWeight(weight)) } else { None }
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

/// `cpu.max`: how much CPU time per period, or no limit. The kernel refuses a quota or a period
/// under 1 ms and a period over 1 s (kernel/sched/core.c, `tg_set_cfs_bandwidth`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuMax {
    /// `None` is `max`.
    pub quota: Option<Micros>,
    pub period: Micros,
}

impl CpuMax {
    /// The kernel's default period.
    pub const PERIOD: Micros = Micros(100_000);
    /// Smallest quota the kernel accepts.
    pub const MIN_QUOTA: Micros = Micros(1000);
    pub const UNLIMITED: CpuMax = CpuMax { quota: None, period: CpuMax::PERIOD };
}

impl fmt::Display for CpuMax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quota {
            Some(quota) => write!(f, "{quota} {}", self.period),
            None => write!(f, "max {}", self.period),
        }
    }
}

/// One value for one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnobValue {
    /// `cpu.idle`: SCHED_IDLE for the whole group. While it is 1 the kernel refuses `cpu.weight`
    /// with EINVAL.
    CpuIdle(bool),
    CpuWeight(CpuWeight),
    CpuMax(CpuMax),
    /// `cpu.max.burst`: quota that was not used and may be saved up. Over a finite quota it is
    /// EINVAL, and so is a quota under it.
    CpuMaxBurst(Micros),
    /// `cpuset.cpus`. Never empty: an empty write to a populated group is ENOSPC.
    CpusetCpus(CpuSet),
    /// `cpuset.mems`. Never empty, as `cpuset.cpus`.
    CpusetMems(NumaSet),
    MemoryMin(MemoryLimit),
    MemoryLow(MemoryLimit),
    MemoryHigh(MemoryLimit),
    MemoryMax(MemoryLimit),
    OomScoreAdj(OomScoreAdj),
}

/// Which file a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Knob {
    CpuIdle,
    CpuWeight,
    CpuMax,
    CpuMaxBurst,
    CpusetCpus,
    CpusetMems,
    MemoryMin,
    MemoryLow,
    MemoryHigh,
    MemoryMax,
    /// Of each process of the cgroup and of all groups below: the one knob that is no cgroup file.
    OomScoreAdj,
}

impl Knob {
    pub const ALL: [Knob; 11] = [
        Knob::CpuIdle,
        Knob::CpuWeight,
        Knob::CpuMax,
        Knob::CpuMaxBurst,
        Knob::CpusetCpus,
        Knob::CpusetMems,
        Knob::MemoryMin,
        Knob::MemoryLow,
        Knob::MemoryHigh,
        Knob::MemoryMax,
        Knob::OomScoreAdj,
    ];

    pub const fn file(self) -> &'static str {
        match self {
            Knob::CpuIdle => "cpu.idle",
            Knob::CpuWeight => "cpu.weight",
            Knob::CpuMax => "cpu.max",
            Knob::CpuMaxBurst => "cpu.max.burst",
            Knob::CpusetCpus => "cpuset.cpus",
            Knob::CpusetMems => "cpuset.mems",
            Knob::MemoryMin => "memory.min",
            Knob::MemoryLow => "memory.low",
            Knob::MemoryHigh => "memory.high",
            Knob::MemoryMax => "memory.max",
            Knob::OomScoreAdj => "oom_score_adj",
        }
    }

    pub fn from_file(file: &str) -> Option<Knob> {
        Knob::ALL.into_iter().find(|knob| knob.file() == file)
    }

    /// Which actuator owns the file. Measured beside 16 hogs, `cpuset.cpus` takes 80-120 ms at
    /// p99 because it walks every task; the others take 0.4-0.8 ms at p50. `cpuset.mems` migrates
    /// pages and the memory files reclaim before the write returns. The burst has the lane of the
    /// quota it depends on.
    pub const fn lane(self) -> Lane {
        match self {
            Knob::CpuIdle | Knob::CpuWeight | Knob::CpuMax | Knob::CpuMaxBurst => Lane::Fast,
            Knob::CpusetCpus
            | Knob::CpusetMems
            | Knob::MemoryMin
            | Knob::MemoryLow
            | Knob::MemoryHigh
            | Knob::MemoryMax
            | Knob::OomScoreAdj => Lane::Slow,
        }
    }

    /// Read every ten seconds only: nobody but Berth is expected to write them, and what each
    /// turn reads is what the agent costs.
    pub const fn is_seldom_read(self) -> bool {
        !matches!(self, Knob::CpuIdle | Knob::CpuWeight | Knob::CpuMax | Knob::CpusetCpus)
    }

    /// The controller that has to be in `cgroup.subtree_control` of the group above; `None` for
    /// what no controller brings.
    pub const fn controller(self) -> Option<&'static str> {
        match self {
            Knob::CpuIdle | Knob::CpuWeight | Knob::CpuMax | Knob::CpuMaxBurst => Some("cpu"),
            Knob::CpusetCpus | Knob::CpusetMems => Some("cpuset"),
            Knob::MemoryMin | Knob::MemoryLow | Knob::MemoryHigh | Knob::MemoryMax => {
                Some("memory")
            }
            Knob::OomScoreAdj => None,
        }
    }
}

impl KnobValue {
    pub const fn knob(&self) -> Knob {
        match self {
            KnobValue::CpuIdle(_) => Knob::CpuIdle,
            KnobValue::CpuWeight(_) => Knob::CpuWeight,
            KnobValue::CpuMax(_) => Knob::CpuMax,
            KnobValue::CpuMaxBurst(_) => Knob::CpuMaxBurst,
            KnobValue::CpusetCpus(_) => Knob::CpusetCpus,
            KnobValue::CpusetMems(_) => Knob::CpusetMems,
            KnobValue::MemoryMin(_) => Knob::MemoryMin,
            KnobValue::MemoryLow(_) => Knob::MemoryLow,
            KnobValue::MemoryHigh(_) => Knob::MemoryHigh,
            KnobValue::MemoryMax(_) => Knob::MemoryMax,
            KnobValue::OomScoreAdj(_) => Knob::OomScoreAdj,
        }
    }
}

impl fmt::Display for KnobValue {
    /// The bytes that are written to the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KnobValue::CpuIdle(idle) => write!(f, "{}", u8::from(*idle)),
            KnobValue::CpuWeight(weight) => write!(f, "{}", weight.get()),
            KnobValue::CpuMax(max) => write!(f, "{max}"),
            KnobValue::CpuMaxBurst(burst) => write!(f, "{burst}"),
            KnobValue::CpusetCpus(cpus) => write!(f, "{cpus}"),
            KnobValue::CpusetMems(mems) => write!(f, "{mems}"),
            KnobValue::MemoryMin(limit)
            | KnobValue::MemoryLow(limit)
            | KnobValue::MemoryHigh(limit)
            | KnobValue::MemoryMax(limit) => write!(f, "{limit}"),
            KnobValue::OomScoreAdj(score) => write!(f, "{score}"),
        }
    }
}

/// The two actuators. A file has exactly one owner, so no two threads ever race on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Own thread, held file descriptors, microseconds; carries suppression.
    Fast,
    /// Files whose write may block in the kernel.
    Slow,
}

/// What is believed to stand in the files of one cgroup; `None` is "never seen".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    pub cpu_idle: Option<bool>,
    pub cpu_weight: Option<CpuWeight>,
    pub cpu_max: Option<CpuMax>,
    pub cpu_burst: Option<Micros>,
    /// As written; empty means "inherit".
    pub cpuset_cpus: Option<CpuSet>,
    /// What the kernel made of it.
    pub cpuset_effective: Option<CpuSet>,
    /// As written; empty means "inherit".
    pub cpuset_mems: Option<NumaSet>,
    pub memory_min: Option<MemoryLimit>,
    pub memory_low: Option<MemoryLimit>,
    pub memory_high: Option<MemoryLimit>,
    pub memory_max: Option<MemoryLimit>,
    /// Of the first process of each group: the others are its children and inherit.
    pub oom_score_adj: Option<OomScoreAdj>,
    /// When those were read that seldom are ([`Knob::is_seldom_read`]); `None` is "with the others".
    pub seldom_at: Option<Timestamp>,
}

impl Knobs {
    pub fn get(&self, knob: Knob) -> Option<KnobValue> {
        match knob {
            Knob::CpuIdle => self.cpu_idle.map(KnobValue::CpuIdle),
            Knob::CpuWeight => self.cpu_weight.map(KnobValue::CpuWeight),
            Knob::CpuMax => self.cpu_max.map(KnobValue::CpuMax),
            Knob::CpuMaxBurst => self.cpu_burst.map(KnobValue::CpuMaxBurst),
            Knob::CpusetCpus => self.cpuset_cpus.map(KnobValue::CpusetCpus),
            Knob::CpusetMems => self.cpuset_mems.map(KnobValue::CpusetMems),
            Knob::MemoryMin => self.memory_min.map(KnobValue::MemoryMin),
            Knob::MemoryLow => self.memory_low.map(KnobValue::MemoryLow),
            Knob::MemoryHigh => self.memory_high.map(KnobValue::MemoryHigh),
            Knob::MemoryMax => self.memory_max.map(KnobValue::MemoryMax),
            Knob::OomScoreAdj => self.oom_score_adj.map(KnobValue::OomScoreAdj),
        }
    }

    pub fn record(&mut self, value: KnobValue) {
        match value {
            KnobValue::CpuIdle(idle) => self.cpu_idle = Some(idle),
            KnobValue::CpuWeight(weight) => self.cpu_weight = Some(weight),
            KnobValue::CpuMax(max) => self.cpu_max = Some(max),
            KnobValue::CpuMaxBurst(burst) => self.cpu_burst = Some(burst),
            KnobValue::CpusetCpus(cpus) => self.cpuset_cpus = Some(cpus),
            KnobValue::CpusetMems(mems) => self.cpuset_mems = Some(mems),
            KnobValue::MemoryMin(limit) => self.memory_min = Some(limit),
            KnobValue::MemoryLow(limit) => self.memory_low = Some(limit),
            KnobValue::MemoryHigh(limit) => self.memory_high = Some(limit),
            KnobValue::MemoryMax(limit) => self.memory_max = Some(limit),
            KnobValue::OomScoreAdj(score) => self.oom_score_adj = Some(score),
        }
    }
}

/// Knobs by cgroup.
pub type KnobTable = BTreeMap<CgroupPath, Knobs>;
